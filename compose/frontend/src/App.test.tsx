import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import { View } from "./App";
import { type Bot, updated } from "./useBot";

const BOT: Bot = {
  loaded: true,
  health: { status: "healthy", api_connectivity: { redis: true }, version: "1.1.0", revision: "abc" },
  engine: { state: "RUNNING", mode: "paper", preset: "balanced", openPositions: 2, dailyR: 0.5 },
  page: { version: "1.1.0", revision: "abc" },
  live: "live",
};

describe("the page", () => {
  it("shows health, engine, mode and dependencies", () => {
    const html = renderToStaticMarkup(<View bot={BOT} />);
    for (const text of ["Healthy", "RUNNING", "paper", "balanced", "0.50 R", "redis", "1.1.0 (abc)"]) {
      expect(html).toContain(text);
    }
    expect(html).not.toContain("version-warning");
  });

  it("warns when page and API are of different builds", () => {
    const html = renderToStaticMarkup(<View bot={{ ...BOT, page: { version: "1.0.0" } }} />);
    expect(html).toContain("version-warning");
  });

  it("claims nothing when the API does not answer", () => {
    const html = renderToStaticMarkup(<View bot={{ ...BOT, health: null, engine: null }} />);
    expect(html).toContain("The API does not answer");
    expect(html).not.toContain("Healthy");
  });
});

describe("an engine update", () => {
  it("changes what it names and keeps the rest", () => {
    expect(updated({ state: "IDLE", mode: "paper" }, { state: "RUNNING", other: 1 })).toEqual({
      state: "RUNNING",
      mode: "paper",
    });
  });
});
