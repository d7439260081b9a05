/** What the bot holds, what it ordered, and what came of it. */
import type { Equity, Order, Position } from "./api";
import { curve, HEIGHT, WIDTH } from "./curve";
import { amount, inR, priced, time } from "./figures";
import type { Level } from "./health";
import { Badge, Card, Quiet } from "./parts";

const MOST_ORDERS = 12;

const resultLevel = (value: number | null): Level =>
  value === null ? "unknown" : value < 0 ? "bad" : "good";

function PositionItem({ position: p }: { position: Position }) {
  return (
    <li data-testid="position">
      <span>
        <strong>{p.symbol}</strong> {p.side} {amount(p.quantity)}
      </span>
      <Badge level={resultLevel(p.unrealizedR)} text={inR(p.unrealizedR)} />
      <small>
        bought at {priced(p.entryPrice)}, now {priced(p.currentPrice)}
      </small>
      <small>
        stop {priced(p.stopPrice)}, target {priced(p.targetPrice)}
      </small>
    </li>
  );
}

export function PositionsCard({ positions }: { positions: Position[] | null }) {
  return (
    <Card title="Positions" id="positions" note={positions ? String(positions.length) : ""}>
      {!positions && <Quiet>Not known.</Quiet>}
      {positions?.length === 0 && <Quiet>No open position.</Quiet>}
      {positions && positions.length > 0 && (
        <ul className="list">
          {positions.map((one) => (
            <PositionItem key={one.id} position={one} />
          ))}
        </ul>
      )}
    </Card>
  );
}

const STATUS: Record<string, Level> = { filled: "good", open: "warn", rejected: "bad" };

function OrderItem({ order: o }: { order: Order }) {
  return (
    <li data-testid="order">
      <span>
        {o.side} <strong>{o.symbol}</strong> {amount(o.quantity)}
      </span>
      <Badge level={STATUS[o.status] ?? "unknown"} text={o.status.replaceAll("_", " ")} />
      <small>
        {o.type} at {priced(o.fillPrice ?? o.price)}
      </small>
      <small>{time(o.createdAt)}</small>
    </li>
  );
}

export function OrdersCard({ orders }: { orders: Order[] | null }) {
  const more = (orders?.length ?? 0) - MOST_ORDERS;
  return (
    <Card title="Orders" id="orders" note={orders ? String(orders.length) : ""}>
      {!orders && <Quiet>Not known.</Quiet>}
      {orders?.length === 0 && <Quiet>No order yet.</Quiet>}
      {orders && orders.length > 0 && (
        <ul className="list">
          {orders.slice(0, MOST_ORDERS).map((one) => (
            <OrderItem key={one.id} order={one} />
          ))}
        </ul>
      )}
      {more > 0 && <Quiet>and {more} older</Quiet>}
    </Card>
  );
}

export function EquityCard({ equity }: { equity: Equity | null }) {
  const points = equity?.points ?? [];
  const drawn = curve(points.map((point) => point.equityR));
  return (
    <Card title="Equity" id="equity" note={drawn ? inR(drawn.last) : ""}>
      {!drawn && <Quiet>{equity ? "No trade was closed yet." : "Not known."}</Quiet>}
      {drawn && (
        <figure className="curve">
          <svg
            viewBox={`0 -4 ${WIDTH} ${HEIGHT + 8}`}
            preserveAspectRatio="none"
            role="img"
            aria-label={`Equity after ${points.length} trades: ${inR(drawn.last)}, between ${inR(drawn.lowest)} and ${inR(drawn.highest)}`}
          >
            <line className="zero" x1="0" x2={WIDTH} y1={drawn.zero} y2={drawn.zero} />
            <path d={drawn.path} />
          </svg>
          <figcaption>
            <span>
              {inR(drawn.lowest)} to {inR(drawn.highest)}
            </span>
            <span>{points.length === 1 ? "1 trade" : `${points.length} trades`}</span>
          </figcaption>
        </figure>
      )}
    </Card>
  );
}
