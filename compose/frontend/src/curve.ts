/** The equity curve as an SVG path: one step a closed trade, from 0 on. */

export const WIDTH = 600;
export const HEIGHT = 140;

export interface Curve {
  path: string;
  /** Where 0 R is, in the picture's own units from its top. */
  zero: number;
  lowest: number;
  highest: number;
  last: number;
}

const rounded = (value: number) => Math.round(value * 10) / 10;

/** `null` when there is nothing to draw yet. */
export function curve(results: number[]): Curve | null {
  const values = [0, ...results.filter(Number.isFinite)];
  if (values.length < 2) return null;
  const lowest = Math.min(...values);
  const highest = Math.max(...values);
  const span = highest - lowest || 1;
  const x = (place: number) => rounded((place / (values.length - 1)) * WIDTH);
  const y = (value: number) => rounded(((highest - value) / span) * HEIGHT);
  const path = values.map((value, place) => `${place ? "L" : "M"}${x(place)} ${y(value)}`).join("");
  return { path, zero: y(0), lowest, highest, last: values[values.length - 1] ?? 0 };
}
