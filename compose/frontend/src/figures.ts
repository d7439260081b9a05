/** Figures as people read them, the same everywhere. */

const price = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const quantity = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export const priced = (value: number | null) => (value === null ? "–" : price.format(value));
export const amount = (value: number) => quantity.format(value);
export const time = (at: string | number) => {
  const when = new Date(at);
  return Number.isNaN(when.getTime()) ? "–" : clock.format(when);
};

/** A result in units of risk, always with its sign. */
export function inR(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)} R`;
}
