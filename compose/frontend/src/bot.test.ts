import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Bot, follow, NOTHING, updated } from "./bot";

class FakeSocket {
  static last: FakeSocket;
  onmessage: ((event: MessageEvent<unknown>) => void) | null = null;
  onclose: (() => void) | null = null;
  constructor(readonly url: string) {
    FakeSocket.last = this;
  }
  say(type: string, data: object = {}) {
    this.onmessage?.({ data: JSON.stringify({ type, ts: 1, data }) } as MessageEvent<unknown>);
  }
  close() {}
}

const LATENCY_MS = 10;
const ANSWERS: Record<string, unknown> = {
  "/api/health": { status: "healthy", version: "1.1.0" },
  "/api/engine/status": { state: "IDLE", mode: "paper" },
  "/version.json": { version: "1.1.0" },
  "/api/trading/positions": [],
  "/api/trading/orders": [],
  "/api/performance/equity": { points: [] },
  "/api/engine/commands": { state: "IDLE", commands: [] },
  "/api/presets/": { active: "balanced", presets: [] },
};

describe("the bot", () => {
  let bot: Bot;
  let away: boolean;
  let asked: string[];
  let stop: () => void;
  const passes = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  beforeEach(async () => {
    vi.useFakeTimers();
    vi.stubGlobal("WebSocket", FakeSocket);
    vi.stubGlobal("window", { location: { protocol: "https:", host: "bot.example.org" } });
    vi.stubGlobal("fetch", async (path: string) => {
      asked.push(path);
      await new Promise((answer) => setTimeout(answer, LATENCY_MS));
      return away ? new Response("<html>", { status: 502 }) : Response.json(ANSWERS[path]);
    });
    away = false;
    asked = [];
    bot = NOTHING;
    stop = follow((step) => {
      bot = step(bot);
    });
    FakeSocket.last.say("HEARTBEAT");
    await passes(LATENCY_MS);
  });
  afterEach(() => {
    stop();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it("is asked for at the page's own origin", () => {
    expect([...new Set(asked)].toSorted()).toEqual(Object.keys(ANSWERS).toSorted());
    expect(FakeSocket.last.url).toBe("wss://bot.example.org/ws/");
    expect(bot).toMatchObject({ loaded: true, answering: true, engine: { state: "IDLE" } });
  });

  it("follows the engine at once, and asks what else changed with its state", async () => {
    asked = [];
    FakeSocket.last.say("ENGINE_UPDATE", { state: "RUNNING" });
    expect(bot.engine).toEqual({ state: "RUNNING", mode: "paper" });
    await passes(400);
    expect(asked).toContain("/api/engine/commands");
    expect(asked).not.toContain("/api/health");
  });

  it("keeps what was asked for later, though it was answered sooner", async () => {
    let healthAnswers = (_: Response) => {};
    const slow = new Promise<Response>((resolve) => {
      healthAnswers = resolve;
    });
    const quick = globalThis.fetch;
    vi.stubGlobal("fetch", (path: string) => (path === "/api/health" ? slow : quick(path)));
    ANSWERS["/api/trading/positions"] = [{ id: "old" }];
    await passes(5_000); // a poll, which waits for health
    ANSWERS["/api/trading/positions"] = [{ id: "new" }];
    FakeSocket.last.say("POSITION_UPDATE");
    await passes(500);
    expect(bot.positions).toEqual([{ id: "new" }]);
    healthAnswers(Response.json({ status: "healthy" }));
    await passes(0);
    expect(bot.positions).toEqual([{ id: "new" }]);
    ANSWERS["/api/trading/positions"] = [];
  });

  it("takes a 503 for what it is: news of health, and no news of anything else", async () => {
    vi.stubGlobal("fetch", async (path: string) =>
      Response.json(path === "/api/health" ? { status: "unhealthy" } : { detail: "away" }, { status: 503 }),
    );
    await passes(5_000);
    expect(bot).toMatchObject({ answering: true, health: { status: "unhealthy" }, orders: [], positions: [] });
  });

  it("asks once for many updates that come together", async () => {
    asked = [];
    for (let order = 0; order < 20; order++) FakeSocket.last.say("ORDER_UPDATE");
    await passes(400);
    expect(asked.filter((path) => path === "/api/trading/orders")).toHaveLength(1);
  });

  it("does not let an older answer undo what was heard since", async () => {
    await passes(4_990);
    expect(asked).toHaveLength(3 * 7 + 2); // the third poll is under way
    FakeSocket.last.say("ENGINE_UPDATE", { state: "EMERGENCY" });
    await passes(LATENCY_MS);
    expect(bot.engine?.state).toBe("EMERGENCY");
  });

  it("keeps what it knew while the API is away, and says so", async () => {
    const at = bot.answeredAt;
    away = true;
    FakeSocket.last.onclose?.();
    await passes(LATENCY_MS);
    expect(bot).toMatchObject({ live: "offline", answering: false, answeredAt: at, engine: { state: "IDLE" } });
  });

  it("asks for everything as soon as it is connected again", async () => {
    away = true;
    FakeSocket.last.onclose?.();
    await passes(5_000);
    away = false;
    FakeSocket.last.say("HEARTBEAT");
    await passes(LATENCY_MS);
    expect(bot).toMatchObject({ live: "live", answering: true });
  });

  it("keeps the build it was loaded with", async () => {
    asked = [];
    await passes(5_000);
    expect(asked).not.toContain("/version.json");
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
