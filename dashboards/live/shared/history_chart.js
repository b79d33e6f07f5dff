// Chart of one column of any metric over its windows.

import { Chart, colour, fromZero, valueAxis } from './charts.js';
import { period } from './format.js';
import { STATE_TEXT, windowState } from './windows.js';

const STATE_KEY = { final: 'key-history', provisional: 'key-history-provisional', open: 'key-history-open' };
const POINTS_UP_TO = 40;

export class History {
  constructor(host) {
    this.rows = [];
    const line = (style) => ({
      scale: 'value', width: 2, stroke: () => colour('--green-line'), points: { show: () => this.rows.length < POINTS_UP_TO, size: 5 }, ...style,
    });
    this.chart = new Chart(host, {
      scales: { value: { range: (_, low, high) => (low < 0 ? [low * 1.15, Math.max(0, high * 1.15)] : fromZero(1.15).range(_, low, high)) } },
      axes: [valueAxis('value', (value) => this.axis(value), { size: 66 })],
      series: [
        line({ fill: () => colour('--green-area') }),
        line({ fill: () => colour('--green-area-light'), dash: [5, 4] }),
        line({ stroke: () => colour('--text-soft'), width: 1.5, dash: [2, 4] }),
      ],
      describe: (index) => this.describe(index),
    });
    this.axis = String;
  }

  update({ rows, measure, axis, text, watermark, now }) {
    Object.assign(this, { rows, measure, axis, text, now });
    this.states = rows.map((row) => windowState(row, watermark));
    if (!rows.length) return;
    const value = ({ row }) => (row[measure.name] === null || row[measure.name] === undefined ? null : Number(row[measure.name]));
    // Each line starts on the last point of the one before it, so that they meet.
    const lastFinal = this.states.lastIndexOf('final');
    const lastClosed = this.states.findLastIndex((state) => state !== 'open');
    const span = rows[0].end - rows[0].start;
    const [from, to] = [rows[0].start, rows.at(-1).start];
    this.chart.draw(from === to ? from - span : from, from === to ? to + span : to, [
      rows.map((row) => row.start / 1000),
      rows.map((row, index) => (index <= lastFinal ? value(row) : null)),
      rows.map((row, index) => (index >= lastFinal && index <= lastClosed ? value(row) : null)),
      rows.map((row, index) => (index >= lastClosed ? value(row) : null)),
    ]);
  }

  describe(index) {
    const row = this.rows[index];
    if (!row) return null;
    return {
      title: period(row.start, row.end, this.now),
      lines: [[`${this.measure.name}, ${STATE_TEXT[this.states[index]]}`, this.text(row.row), STATE_KEY[this.states[index]]]],
    };
  }

  destroy() {
    this.chart.destroy();
  }
}
