/** The page: how the bot is, what it does, and what it can be told. */
import { useEffect } from "react";
import type { Bot } from "./bot";
import { Controls } from "./Controls";
import { inR, time } from "./figures";
import { ageLevel, dependencies, duration, type Health, type Level, stateLevel, type Summary, summarise } from "./health";
import type { LiveState } from "./live";
import { Badge, Card, Quiet, Row } from "./parts";
import { EquityCard, OrdersCard, PositionsCard } from "./Trading";
import { useBot } from "./useBot";
import { label, mismatch } from "./versions";

const LIVE: Record<LiveState, { level: Level; text: string }> = {
  live: { level: "good", text: "live" },
  connecting: { level: "unknown", text: "connecting" },
  silent: { level: "warn", text: "silent, no updates" },
  offline: { level: "bad", text: "offline, reconnecting" },
};

function Age({ seconds }: { seconds: number | null | undefined }) {
  return <Badge level={ageLevel(seconds)} text={duration(seconds)} />;
}

function EngineCard({ bot: { health, engine, answering } }: { bot: Bot }) {
  const state = engine?.state ?? health?.engine_state;
  const slots = engine?.slots === undefined ? "" : ` of ${engine.slots}`;
  return (
    <Card title="Engine" id="engine" note={answering || !state ? "" : "as last known"}>
      <dl>
        <Row name="State">
          <Badge level={stateLevel(state)} text={state ?? "unknown"} id="engine-state" />
        </Row>
        <Row name="Mode">
          <Badge level={engine?.mode === "live" ? "warn" : "unknown"} text={engine?.mode ?? "unknown"} id="mode" />
        </Row>
        <Row name="Preset">{engine?.preset ?? "–"}</Row>
        <Row name="Open positions">{engine?.openPositions === undefined ? "–" : `${engine.openPositions}${slots}`}</Row>
        <Row name="Today">{inR(engine?.dailyR)}</Row>
        <Row name="Last heartbeat">
          <Age seconds={answering ? health?.heartbeat_age_seconds : null} />
        </Row>
        <Row name="Market data">
          <Age seconds={answering ? health?.market_data_age_seconds : null} />
        </Row>
      </dl>
    </Card>
  );
}

function DependencyCard({ health }: { health: Health | null }) {
  const all = health ? dependencies(health) : [];
  return (
    <Card title="Dependencies" id="dependencies">
      {all.length === 0 && <Quiet>Not known.</Quiet>}
      <dl>
        {all.map((one) => (
          <Row key={one.name} name={one.name}>
            <Badge level={one.level} text={one.text} id={`dependency-${one.name}`} />
          </Row>
        ))}
      </dl>
    </Card>
  );
}

const percent = (value: number | undefined) => (value === undefined ? "–" : `${Math.round(value)} %`);

function MachineCard({ health }: { health: Health | null }) {
  const use = health?.resource_health;
  return (
    <Card title="Machine" id="machine">
      <dl>
        <Row name="CPU">{percent(use?.cpu_percent)}</Row>
        <Row name="Memory">{percent(use?.memory_percent)}</Row>
        <Row name="Disk">{percent(use?.disk_usage_percent)}</Row>
        <Row name="Up for">{duration(health?.uptime_seconds)}</Row>
      </dl>
    </Card>
  );
}

function VersionCard({ health, page }: Pick<Bot, "health" | "page">) {
  return (
    <Card title="Versions" id="versions">
      <dl>
        <Row name="Page">
          <span data-testid="page-version">{label(page)}</span>
        </Row>
        <Row name="API">
          <span data-testid="api-version">{label(health)}</span>
        </Row>
      </dl>
    </Card>
  );
}

/** The head of the page: what the API says of itself, or since when it says nothing. */
function summaryOf(bot: Bot): Summary {
  if (!bot.loaded) return { level: "unknown", title: "Asking the API …", reasons: [] };
  // The state comes over the WebSocket as well, sooner than with the next look at the health.
  const state = bot.engine?.state ?? bot.health?.engine_state;
  if (bot.answering) return summarise(bot.health && { ...bot.health, engine_state: state });
  const since = bot.answeredAt ? [`What is shown below was last known at ${time(bot.answeredAt)}.`] : [];
  return { ...summarise(null), reasons: since };
}

function SummaryBox({ summary }: { summary: Summary }) {
  return (
    <div className={`summary ${summary.level}`} role="status" data-testid="health">
      <strong>{summary.title}</strong>
      {summary.reasons.length > 0 && (
        <ul>
          {summary.reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function View({ bot }: { bot: Bot }) {
  const { page, live } = bot;
  const health = bot.answering ? bot.health : null;
  const warning = mismatch(page, bot.health);
  return (
    <main className={bot.answering || !bot.loaded ? "" : "stale"}>
      <header>
        <h1>Breakout Bot</h1>
        <Badge {...LIVE[live]} id="live" />
      </header>
      <SummaryBox summary={summaryOf(bot)} />
      {warning && (
        <div className="summary warn" role="alert" data-testid="version-warning">
          {warning}
        </div>
      )}
      <div className="cards">
        <EngineCard bot={bot} />
        <Controls bot={bot} />
        <EquityCard equity={bot.equity} />
        <PositionsCard positions={bot.positions} />
        <OrdersCard orders={bot.orders} />
        <DependencyCard health={health} />
        <MachineCard health={health} />
        <VersionCard health={bot.health} page={page} />
      </div>
    </main>
  );
}

export function App() {
  const bot = useBot();
  // A link to /positions leads there, once there is something to see.
  useEffect(() => {
    const part = window.location.pathname.slice(1);
    if (bot.loaded && part) document.getElementById(part)?.scrollIntoView();
  }, [bot.loaded]);
  return <View bot={bot} />;
}
