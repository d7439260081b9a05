import { describe, expect, it } from "vitest";
import { ageLevel, dependencies, duration, type Health, stateLevel, summarise } from "./health";

const HEALTHY: Health = {
  status: "healthy",
  engine_state: "RUNNING",
  api_connectivity: { database: true, redis: "connected", exchange: { status: "ok" } },
  resource_health: { status: "healthy", issues: [] },
  issues: [],
};

describe("the summary", () => {
  it("says healthy only when nothing is wrong", () => {
    expect(summarise(HEALTHY)).toEqual({ level: "good", title: "Healthy", reasons: [] });
  });

  it("says so when the API does not answer", () => {
    expect(summarise(null).level).toBe("bad");
  });

  it("does not trust a healthy status beside a lost dependency", () => {
    const summary = summarise({ ...HEALTHY, api_connectivity: { redis: false } });
    expect(summary).toEqual({
      level: "warn",
      title: "Degraded",
      reasons: ["redis: not connected"],
    });
  });

  it("prefers the reason that the API gives for a lost dependency", () => {
    const lost = { ...HEALTHY, api_connectivity: { redis: "disconnected" } };
    const summary = summarise({ ...lost, status: "unhealthy", issues: ["redis: no answer"] });
    expect(summary.reasons).toEqual(["redis: no answer"]);
  });

  it("names each issue once", () => {
    const summary = summarise({
      ...HEALTHY,
      status: "unhealthy",
      issues: ["disk full"],
      resource_health: { issues: ["disk full"] },
    });
    expect(summary).toEqual({ level: "bad", title: "Unhealthy", reasons: ["disk full"] });
  });

  it("shows an emergency stop", () => {
    const summary = summarise({ ...HEALTHY, engine_state: "EMERGENCY" });
    expect(summary.reasons).toEqual(["The engine is in emergency stop."]);
  });

  it("calls an unknown status degraded, never healthy", () => {
    expect(summarise({ status: "fine?" }).level).toBe("warn");
  });
});

describe("the parts", () => {
  it("reads dependencies given as a boolean, a word or an object", () => {
    expect(dependencies(HEALTHY).map((one) => one.level)).toEqual(["good", "good", "good"]);
    expect(dependencies({ status: "healthy", api_connectivity: { redis: null } })[0]?.level).toBe("bad");
  });

  it("calls old data bad and missing data unknown", () => {
    expect([ageLevel(1), ageLevel(11), ageLevel(null)]).toEqual(["good", "bad", "unknown"]);
  });

  it("gives each engine state a level", () => {
    expect(["RUNNING", "PAUSED", "EMERGENCY", undefined].map(stateLevel)).toEqual([
      "good",
      "warn",
      "bad",
      "unknown",
    ]);
  });

  it("writes durations for people", () => {
    expect([5, 65, 3700, 90000, null].map(duration)).toEqual(["5 s", "1 min", "1 h 1 min", "1 d 1 h", "–"]);
  });
});
