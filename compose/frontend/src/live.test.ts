import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { backoff, type LiveState, parse, socketUrl, stayConnected } from "./live";

class FakeSocket {
  onmessage: ((event: MessageEvent<unknown>) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  closed = false;
  hear(data: string) {
    this.onmessage?.({ data } as MessageEvent<unknown>);
  }
  end() {
    this.onclose?.({} as CloseEvent);
  }
  close() {
    this.closed = true;
  }
}

describe("the pause between attempts", () => {
  it("doubles up to a limit", () => {
    const most = [0, 1, 2, 10, 1000].map((failures) => backoff(failures, () => 1));
    expect(most).toEqual([500, 1000, 2000, 10_000, 10_000]);
  });

  it("is spread over its upper half", () => {
    expect(backoff(2, () => 0)).toBe(1000);
  });
});

describe("the address", () => {
  it("follows the page's own origin", () => {
    expect(socketUrl({ protocol: "https:", host: "bot.example.org" })).toBe("wss://bot.example.org/ws/");
    expect(socketUrl({ protocol: "http:", host: "localhost:3000" })).toBe("ws://localhost:3000/ws/");
  });
});

describe("messages", () => {
  it("that are not ours are ignored", () => {
    expect(["", "null", "[]", '{"type":1}', "{"].map(parse)).toEqual([null, null, null, null, null]);
  });

  it("have a type and data", () => {
    expect(parse('{"type":"HEARTBEAT","ts":1}')).toEqual({ type: "HEARTBEAT", ts: 1, data: {} });
  });
});

describe("the connection", () => {
  let sockets: FakeSocket[];
  let states: LiveState[];
  let stop: () => void;
  const last = () => sockets[sockets.length - 1] as FakeSocket;

  beforeEach(() => {
    vi.useFakeTimers();
    sockets = [];
    states = [];
    stop = stayConnected({ message: () => {}, state: (state) => states.push(state) }, () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    });
  });
  afterEach(() => {
    stop();
    vi.useRealTimers();
  });

  it("is live with the first message, not before", () => {
    expect(states).toEqual(["connecting"]);
    last().hear('{"type":"HEARTBEAT"}');
    expect(states).toEqual(["connecting", "live"]);
  });

  it("stays offline until it is live again", () => {
    last().end();
    vi.advanceTimersByTime(500);
    expect(sockets).toHaveLength(2);
    expect(states).toEqual(["connecting", "offline"]);
    last().hear('{"type":"HEARTBEAT"}');
    expect(states).toEqual(["connecting", "offline", "live"]);
  });

  it("says when it falls silent, then is given up", () => {
    last().hear('{"type":"HEARTBEAT"}');
    vi.advanceTimersByTime(5_000);
    expect(states.at(-1)).toBe("silent");
    expect(sockets[0]?.closed).toBe(false);
    vi.advanceTimersByTime(5_000);
    expect(states.at(-1)).toBe("offline");
    expect(sockets[0]?.closed).toBe(true);
  });

  it("is given up when it never speaks", () => {
    vi.advanceTimersByTime(10_500);
    expect(sockets[0]?.closed).toBe(true);
    expect(sockets).toHaveLength(2);
  });

  it("that only ever greets is tried less and less often", () => {
    for (let attempt = 0; attempt < 4; attempt++) {
      last().hear('{"type":"HEARTBEAT"}');
      last().end();
      vi.advanceTimersByTime(500 * 2 ** attempt);
    }
    expect(sockets).toHaveLength(5);
    last().end();
    vi.advanceTimersByTime(3_900);
    expect(sockets).toHaveLength(5);
  });

  it("stays closed once it is stopped", () => {
    stop();
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
    expect(sockets[0]?.closed).toBe(true);
  });
});
