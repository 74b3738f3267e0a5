/** Small charts, drawn by hand. Their numbers stand beside them in words, so they are pictures only. */
const svg = "http://www.w3.org/2000/svg";

const drawing = (width: number, height: number): SVGSVGElement => {
  const element = document.createElementNS(svg, "svg");
  element.setAttribute("viewBox", `0 0 ${width} ${height}`);
  element.setAttribute("preserveAspectRatio", "none");
  element.setAttribute("aria-hidden", "true");
  return element;
};

export interface Bar {
  readonly value: number;
  /** The part of it that is bad. */
  readonly bad?: number;
  readonly title: string;
}

/** Bars side by side, the tallest as high as the picture. */
export function barChart(bars: readonly Bar[]): SVGSVGElement {
  const [width, height] = [100, 40];
  const element = drawing(width, height);
  const tallest = Math.max(1, ...bars.map(({ value }) => value));
  const step = width / Math.max(1, bars.length);
  for (const [index, { value, bad = 0, title }] of bars.entries()) {
    for (const [part, className] of [
      [value, "bar"],
      [bad, "bar bad-bar"],
    ] as const) {
      if (part === 0) continue;
      const rect = document.createElementNS(svg, "rect");
      const tall = Math.max(1, (part / tallest) * height);
      for (const [name, content] of Object.entries({
        x: index * step,
        y: height - tall,
        width: step * 0.8,
        height: tall,
      })) {
        rect.setAttribute(name, content.toFixed(2));
      }
      rect.setAttribute("class", className);
      const tip = document.createElementNS(svg, "title");
      tip.textContent = title;
      rect.append(tip);
      element.append(rect);
    }
  }
  return element;
}
