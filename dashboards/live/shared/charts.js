// What every chart shares: uPlot's set-up, the theme's colours, resizing and the tooltip.

import { el } from './dom.js';
import { hourMinute, moment, domainZone } from './format.js';
import { serverNow } from './api.js';

const { uPlot } = window;
const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';
const HATCH_PX = 5;

const charts = new Set();
const colours = new Map();

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  colours.clear();
  for (const chart of charts) chart.plot.redraw();
});

/** A colour of the theme, by the name of its CSS variable. */
export function colour(name) {
  let value = colours.get(name);
  if (!value) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    colours.set(name, value);
  }
  return value;
}

/** Diagonal stripes over a tint: provisional figures, also for those who do not see the difference in colour. */
export function hatch(tint, stripe) {
  const key = `hatch ${tint} ${stripe} ${devicePixelRatio}`;
  let pattern = colours.get(key);
  if (!pattern) {
    const size = Math.max(4, Math.round(HATCH_PX * devicePixelRatio));
    const tile = document.createElement('canvas');
    tile.width = size;
    tile.height = size;
    const pen = tile.getContext('2d');
    pen.fillStyle = colour(tint);
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = colour(stripe);
    pen.lineWidth = size / 4.5;
    for (const shift of [-size, 0, size]) {
      pen.beginPath();
      pen.moveTo(shift - 1, size + 1);
      pen.lineTo(shift + size + 1, -1);
      pen.stroke();
    }
    pattern = pen.createPattern(tile, 'repeat');
    colours.set(key, pattern);
  }
  return pattern;
}

export function timeAxis() {
  return {
    ...axis(),
    space: 64,
    size: 26,
    values: (_, splits) => splits.map((seconds) => {
      const ms = seconds * 1000;
      return hourMinute(ms) === '00:00' ? moment(ms, serverNow()).slice(0, 5) : hourMinute(ms);
    }),
  };
}

export function valueAxis(scale, values, { side = 3, size = 52, grid = true, whole = false } = {}) {
  return {
    ...axis(grid),
    scale,
    side,
    size,
    gap: 6,
    space: 34,
    values: (_, splits) => splits.map(values),
    ...(whole ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6] } : {}),
  };
}

function axis(grid = true) {
  return {
    font: FONT,
    stroke: () => colour('--text-soft'),
    ticks: { show: false },
    grid: grid ? { stroke: () => colour('--grid'), width: 1 } : { show: false },
  };
}

/** A scale from zero, with room above the highest value. */
export const fromZero = (room) => ({ range: (_, low, high) => [0, high > 0 ? high * room : 1] });

/** A uPlot chart that fills its host. `describe(index)` gives the tooltip: `{ title, lines: [[name, text, key]] }`. */
export class Chart {
  constructor(host, { axes, scales, series, hooks = {}, describe }) {
    this.host = host;
    this.bounds = [0, 1];
    this.describe = describe;
    this.tip = el('div', { class: 'tip', hidden: true });
    this.plot = new uPlot(
      {
        width: Math.max(50, host.clientWidth),
        height: Math.max(50, host.clientHeight),
        // Without an axis on the right, the last time label needs room there.
        padding: [8, axes.some(({ side }) => side === 1) ? 4 : 16, 0, 0],
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), domainZone()),
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { size: 7 } },
        scales: { x: { time: true, range: () => this.bounds }, ...scales },
        axes: [timeAxis(), ...axes],
        series: [{}, ...series],
        hooks: { ...hooks, setCursor: [() => this.showTip()] },
      },
      [[], ...series.map(() => [])],
      host,
    );
    this.plot.over.append(this.tip);
    new ResizeObserver(() => this.resize()).observe(host);
    charts.add(this);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width > 50 && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  /** Draws `data` between two times in milliseconds. */
  draw(from, to, data) {
    this.bounds = [from / 1000, to / 1000];
    this.plot.setData(data);
    this.showTip();
  }

  showTip() {
    const { idx, left } = this.plot.cursor;
    const content = idx === null || idx === undefined || left < 0 ? null : this.describe(idx);
    this.tip.hidden = !content;
    if (!content) return;
    this.tip.replaceChildren(
      el('p', { class: 'tip-title' }, content.title),
      ...content.lines.map(([name, text, key]) =>
        el('p', { class: 'tip-line' }, el('span', {}, key ? el('i', { class: `key ${key}` }) : null, name), el('b', {}, text))),
    );
    const width = this.plot.over.clientWidth;
    const tipLeft = left + 14 + this.tip.offsetWidth > width ? left - 14 - this.tip.offsetWidth : left + 14;
    this.tip.style.transform = `translate(${Math.round(Math.max(0, tipLeft))}px, 6px)`;
  }

  destroy() {
    charts.delete(this);
    this.plot.destroy();
  }
}
