import { afterEach, describe, expect, it, vi } from "vitest";
import { allowed, send } from "./command";
import { badKey } from "./key";

const IDLE = {
  state: "IDLE",
  commands: [
    { name: "start", allowed: true },
    { name: "stop", allowed: false },
  ],
};

function answering(status: number, body: unknown) {
  const fetch = vi.fn(async () => Response.json(body, { status }));
  vi.stubGlobal("fetch", fetch);
  return fetch;
}

describe("a command", () => {
  it("is allowed when the API says so", () => {
    expect([allowed("start", IDLE, "IDLE"), allowed("stop", IDLE, "IDLE")]).toEqual([true, false]);
  });

  it("is not allowed by what was said of another state", () => {
    expect(allowed("start", IDLE, "RUNNING")).toBe(false);
    expect(allowed("start", null, "IDLE")).toBe(false);
  });

  it("to stop in an emergency is always allowed", () => {
    expect(allowed("emergency-stop", null, undefined)).toBe(true);
  });
});

describe("sending", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("puts the key in a header, never in the address", async () => {
    const fetch = answering(200, { success: true, message: "running" });
    expect(await send("start", "k3y", "balanced")).toEqual({ good: true, text: "Running" });
    const [path, init] = fetch.mock.calls[0] as unknown as [string, RequestInit];
    expect(path).toBe("/api/engine/start");
    expect(init).toMatchObject({ method: "POST", headers: { "X-API-Key": "k3y" }, body: '{"preset":"balanced"}' });
  });

  it("says a refused key clearly", async () => {
    answering(403, { detail: "that is not the API key" });
    expect(await send("stop", "wrong")).toMatchObject({ good: false, refused: true });
  });

  it("gives the API's own reason when it is refused", async () => {
    answering(409, { detail: "stop is not allowed while IDLE" });
    expect(await send("stop", "k3y")).toEqual({ good: false, text: "Stop is not allowed while IDLE" });
  });

  it("is not good because it was answered", async () => {
    answering(200, { success: false, message: "stopped: could not close BTCUSDT" });
    expect((await send("stop", "k3y")).good).toBe(false);
  });

  it("claims nothing when there is no answer", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    expect((await send("stop", "k3y")).text).toContain("may have been carried out");
  });
});

describe("a key", () => {
  it("is refused before it is sent when no header can carry it", () => {
    expect(["", "with space", "schlüssel"].map((key) => badKey(key) !== "")).toEqual([true, true, true]);
    expect(badKey("S3cret-key_")).toBe("");
  });
});
