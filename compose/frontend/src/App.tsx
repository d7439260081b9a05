import { ageLevel, dependencies, duration, type Health, type Level, stateLevel, summarise } from "./health";
import type { LiveState } from "./live";
import { type Bot, useBot } from "./useBot";
import { label, mismatch } from "./versions";

const LIVE: Record<LiveState, { level: Level; text: string }> = {
  live: { level: "good", text: "live" },
  connecting: { level: "unknown", text: "connecting" },
  offline: { level: "bad", text: "offline, reconnecting" },
};

function Badge({ level, text, id }: { level: Level; text: string; id?: string }) {
  return (
    <span className={`badge ${level}`} data-testid={id}>
      {text}
    </span>
  );
}

function Row({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div className="row">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Card({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section className="card">
      <h2>{title}</h2>
      <dl>{children}</dl>
    </section>
  );
}

function Age({ seconds }: { seconds: number | null | undefined }) {
  return <Badge level={ageLevel(seconds)} text={duration(seconds)} />;
}

function EngineCard({ health, engine }: Pick<Bot, "health" | "engine">) {
  const state = engine?.state ?? health?.engine_state;
  return (
    <Card title="Engine">
      <Row name="State">
        <Badge level={stateLevel(state)} text={state ?? "unknown"} id="engine-state" />
      </Row>
      <Row name="Mode">
        <Badge level={engine?.mode === "live" ? "warn" : "unknown"} text={engine?.mode ?? "unknown"} id="mode" />
      </Row>
      <Row name="Preset">{engine?.preset ?? "–"}</Row>
      <Row name="Open positions">{engine?.openPositions ?? "–"}</Row>
      <Row name="Today">{engine?.dailyR === undefined ? "–" : `${engine.dailyR.toFixed(2)} R`}</Row>
      <Row name="Last heartbeat">
        <Age seconds={health?.heartbeat_age_seconds} />
      </Row>
      <Row name="Market data">
        <Age seconds={health?.market_data_age_seconds} />
      </Row>
    </Card>
  );
}

function DependencyCard({ health }: { health: Health | null }) {
  const all = health ? dependencies(health) : [];
  return (
    <Card title="Dependencies">
      {all.length === 0 && <p className="quiet">Not known.</p>}
      {all.map((one) => (
        <Row key={one.name} name={one.name}>
          <Badge level={one.level} text={one.text} id={`dependency-${one.name}`} />
        </Row>
      ))}
    </Card>
  );
}

const percent = (value: number | undefined) => (value === undefined ? "–" : `${Math.round(value)} %`);

function MachineCard({ health }: { health: Health | null }) {
  const use = health?.resource_health;
  return (
    <Card title="Machine">
      <Row name="CPU">{percent(use?.cpu_percent)}</Row>
      <Row name="Memory">{percent(use?.memory_percent)}</Row>
      <Row name="Disk">{percent(use?.disk_usage_percent)}</Row>
      <Row name="Up for">{duration(health?.uptime_seconds)}</Row>
    </Card>
  );
}

function VersionCard({ health, page }: Pick<Bot, "health" | "page">) {
  return (
    <Card title="Versions">
      <Row name="Page">
        <span data-testid="page-version">{label(page)}</span>
      </Row>
      <Row name="API">
        <span data-testid="api-version">{label(health)}</span>
      </Row>
    </Card>
  );
}

export function View({ bot }: { bot: Bot }) {
  const { health, engine, page, live, loaded } = bot;
  const summary = loaded
    ? summarise(health)
    : { level: "unknown" as const, title: "Asking the API …", reasons: [] };
  const warning = mismatch(page, health);
  return (
    <main>
      <header>
        <h1>Breakout Bot</h1>
        <Badge {...LIVE[live]} id="live" />
      </header>
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
      {warning && (
        <div className="summary warn" role="alert" data-testid="version-warning">
          {warning}
        </div>
      )}
      <div className="cards">
        <EngineCard health={health} engine={engine} />
        <DependencyCard health={health} />
        <MachineCard health={health} />
        <VersionCard health={health} page={page} />
      </div>
    </main>
  );
}

export function App() {
  return <View bot={useBot()} />;
}
