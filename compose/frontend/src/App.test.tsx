import { renderToStaticMarkup } from "react-dom/server";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { View } from "./App";
import { type Bot, NOTHING } from "./bot";

const BOT: Bot = {
  ...NOTHING,
  live: "live",
  loaded: true,
  answering: true,
  answeredAt: Date.UTC(2026, 0, 1, 12),
  health: { status: "healthy", api_connectivity: { redis: true }, version: "1.1.0", revision: "abc" },
  engine: { state: "RUNNING", mode: "paper", preset: "balanced", openPositions: 1, slots: 3, dailyR: 0.5 },
  page: { version: "1.1.0", revision: "abc" },
  positions: [
    {
      id: "p1",
      symbol: "BTCUSDT",
      side: "long",
      quantity: 0.0781,
      entryPrice: 64000,
      currentPrice: 63700,
      stopPrice: 63360,
      targetPrice: 65280,
      unrealizedR: -0.4688,
    },
  ],
  orders: [
    {
      id: "o1",
      symbol: "BTCUSDT",
      side: "buy",
      type: "market",
      quantity: 0.0781,
      price: null,
      status: "partially_filled",
      createdAt: "2026-01-01T11:59:00Z",
      fillPrice: 64000,
    },
  ],
  equity: { points: [{ ts: "2026-01-01T11:00:00Z", equityR: 2 }] },
  commands: { state: "RUNNING", commands: [{ name: "pause", allowed: true }] },
  presets: { active: "balanced", presets: [{ name: "balanced", description: "Three slots" }, { name: "aggressive" }] },
};

const shown = (change: Partial<Bot> = {}) => renderToStaticMarkup(<View bot={{ ...BOT, ...change }} />);
const button = (html: string, text: string) => html.match(new RegExp(`<button[^>]*>${text}</button>`))?.[0];

let key: string | null;
beforeEach(() => {
  key = null;
  vi.stubGlobal("sessionStorage", { getItem: () => key });
});

describe("the page", () => {
  it("shows health, engine, mode and dependencies", () => {
    const html = shown();
    for (const text of ["Healthy", "RUNNING", "paper", "balanced", "+0.50 R", "1 of 3", "redis", "1.1.0 (abc)"]) {
      expect(html).toContain(text);
    }
    expect(html).not.toContain("version-warning");
  });

  it("shows what is held, ordered and won", () => {
    const html = shown();
    for (const text of ["BTCUSDT", "−0.47 R", "64,000", "partially filled", "+2.00 R", "Equity after 1 trades"]) {
      expect(html).toContain(text);
    }
  });

  it("warns when page and API are of different builds", () => {
    expect(shown({ page: { version: "1.0.0" } })).toContain("version-warning");
  });

  it("claims nothing when the API never answered", () => {
    const html = shown({ ...NOTHING, loaded: true });
    expect(html).toContain("The API does not answer");
    expect(html).not.toContain("Healthy");
    expect(html).not.toContain("known at");
  });

  it("keeps what it knew while the API is away, and marks it as old", () => {
    const html = shown({ answering: false, live: "offline" });
    for (const text of ["The API does not answer", "offline, reconnecting", "last known at", "as last known", "RUNNING"]) {
      expect(html).toContain(text);
    }
    expect(html).not.toContain("Healthy");
    expect(html).not.toContain("dependency-redis");
  });

  it("shows an emergency stop in its head at once", () => {
    const health = { ...BOT.health, status: "healthy", engine_state: "RUNNING" };
    const html = shown({ health, engine: { ...BOT.engine, state: "EMERGENCY" } });
    expect(html).toContain("The engine is in emergency stop.");
  });

  it("says when updates stopped coming", () => {
    expect(shown({ live: "silent" })).toContain("silent, no updates");
  });
});

describe("the controls", () => {
  it("are off without a key", () => {
    const html = shown();
    expect(button(html, "Pause")).toContain("disabled");
    expect(button(html, "Emergency stop")).toContain("disabled");
    expect(html).toContain("Type the API key");
  });

  it("are on where the engine's state allows it", () => {
    key = "k3y";
    const html = shown();
    expect(button(html, "Pause")).not.toContain("disabled");
    expect(button(html, "Start")).toContain("disabled");
    expect(button(html, "Emergency stop")).not.toContain("disabled");
    expect(html).not.toContain("k3y");
  });

  it("leave the emergency stop alone on while the API is away", () => {
    key = "k3y";
    const html = shown({ answering: false, live: "offline" });
    expect(button(html, "Pause")).toContain("disabled");
    expect(button(html, "Emergency stop")).not.toContain("disabled");
  });

  it("offer every preset", () => {
    const html = shown();
    expect(html).toContain('<option selected="">balanced</option>');
    expect(html).toContain("<option>aggressive</option>");
    expect(html).toContain("Three slots");
  });
});
