/** What `/api/health` says, and what a person should make of it. */

export type Level = "good" | "warn" | "bad" | "unknown";

export interface Health {
  status: string;
  engine_state?: string;
  api_connectivity?: Record<string, unknown>;
  resource_health?: {
    status?: string;
    issues?: string[];
    cpu_percent?: number;
    memory_percent?: number;
    memory_used_mb?: number;
    disk_usage_percent?: number;
  };
  issues?: string[];
  uptime_seconds?: number;
  version?: string;
  revision?: string;
  heartbeat_age_seconds?: number | null;
  market_data_age_seconds?: number | null;
}

export interface Engine {
  state?: string;
  preset?: string | null;
  mode?: string;
  openPositions?: number;
  slots?: number;
  dailyR?: number;
}

export interface Dependency {
  name: string;
  level: Level;
  text: string;
}

const GOOD = new Set(["true", "ok", "up", "connected", "healthy", "available"]);
const WARN = new Set(["degraded", "slow", "reconnecting"]);
const STALE_SECONDS = 10;

function level(word: string): Level {
  if (GOOD.has(word)) return "good";
  return WARN.has(word) ? "warn" : "bad";
}

function said(value: unknown): string {
  if (value !== null && typeof value === "object") {
    return said((value as Record<string, unknown>).status);
  }
  return String(value).toLowerCase();
}

export function dependencies(health: Health): Dependency[] {
  return Object.entries(health.api_connectivity ?? {}).map(([name, value]) => {
    const word = said(value);
    const text = word === "true" ? "connected" : word === "false" ? "not connected" : word;
    return { name, level: level(word), text };
  });
}

export function ageLevel(seconds: number | null | undefined): Level {
  if (seconds === null || seconds === undefined) return "unknown";
  return seconds > STALE_SECONDS ? "bad" : "good";
}

export function stateLevel(state: string | undefined): Level {
  if (!state) return "unknown";
  if (state === "RUNNING") return "good";
  return state === "EMERGENCY" ? "bad" : "warn";
}

export interface Summary {
  level: Level;
  title: string;
  reasons: string[];
}

/** One line for the head of the page. `null` means that the API did not answer. */
export function summarise(health: Health | null): Summary {
  if (health === null) {
    return { level: "bad", title: "The API does not answer", reasons: [] };
  }
  const issues = [...(health.issues ?? []), ...(health.resource_health?.issues ?? [])];
  const explained = (name: string) => issues.some((issue) => issue.startsWith(`${name}:`));
  const lost = dependencies(health).filter((one) => one.level === "bad" && !explained(one.name));
  const reasons = [
    ...issues,
    ...lost.map((one) => `${one.name}: ${one.text}`),
    ...(health.engine_state === "EMERGENCY" ? ["The engine is in emergency stop."] : []),
  ];
  const unique = [...new Set(reasons)];
  if (health.status === "unhealthy") {
    return { level: "bad", title: "Unhealthy", reasons: unique };
  }
  if (health.status !== "healthy" || unique.length > 0) {
    return { level: "warn", title: "Degraded", reasons: unique };
  }
  return { level: "good", title: "Healthy", reasons: [] };
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}
