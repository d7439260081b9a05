/** The WebSocket to the API, kept open: reconnects with growing pauses, drops a silent one. */

export interface Message {
  type: string;
  ts: number | string;
  data: Record<string, unknown>;
}

/** `silent`: open, but nothing came for longer than the API ever pauses. */
export type LiveState = "connecting" | "live" | "silent" | "offline";

const FIRST_MS = 500;
const LONGEST_MS = 10_000;
/** The API sends a heartbeat every 3 s. */
const SILENT_MS = 5_000;
const LOST_MS = 10_000;

/** Pause before the next attempt: doubles to a limit, spread so that pages do not return together. */
export function backoff(failures: number, random: () => number = Math.random): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 16));
  return Math.round(whole * (0.5 + random() / 2));
}

export function socketUrl(location: { protocol: string; host: string }): string {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/`;
}

export function parse(raw: unknown): Message | null {
  try {
    const message = JSON.parse(String(raw)) as Partial<Message> | null;
    if (typeof message?.type !== "string") return null;
    return { type: message.type, ts: message.ts ?? 0, data: message.data ?? {} };
  } catch {
    return null;
  }
}

interface Socket {
  onmessage: ((event: MessageEvent<unknown>) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  close(): void;
}

export interface Listener {
  message(message: Message): void;
  state(state: LiveState): void;
}

/** Stay connected until the function that is returned is called. */
export function stayConnected(listener: Listener, open: () => Socket): () => void {
  let failures = 0;
  let socket: Socket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const drop = () => {
    clearTimeout(timer);
    if (!socket) return;
    socket.onclose = socket.onmessage = null;
    socket.close();
    socket = null;
  };
  const lost = () => {
    drop();
    listener.state("offline");
    timer = setTimeout(connect, backoff(failures++));
  };
  const silent = () => {
    listener.state("silent");
    timer = setTimeout(lost, LOST_MS - SILENT_MS);
  };
  const watch = (next: () => void, pause: number) => {
    clearTimeout(timer);
    timer = setTimeout(next, pause);
  };
  const connect = () => {
    let heard = 0;
    socket = open();
    watch(lost, LOST_MS);
    socket.onclose = lost;
    socket.onmessage = (event) => {
      watch(silent, SILENT_MS);
      const message = parse(event.data);
      if (!message) return;
      // A greeting alone is no connection: only what follows it ends the growing of the pauses.
      if (++heard > 1) failures = 0;
      listener.state("live");
      listener.message(message);
    };
  };
  listener.state("connecting");
  connect();
  return drop;
}
