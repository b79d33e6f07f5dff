// Chart of `usuarios_ativos`: distinct users of the five minutes that end at each point.

import { Chart, colour, fromZero, valueAxis } from '../shared/charts.js';
import { setOverlay } from '../shared/dom.js';
import { integer, period } from '../shared/format.js';
import { MINUTE, windowState } from '../shared/windows.js';

export class UsersChart {
  constructor(host) {
    this.host = host;
    this.points = [];
    const line = (style) => ({ scale: 'users', width: 2, points: { show: false }, stroke: () => colour('--violet-line'), ...style });
    this.chart = new Chart(host, {
      scales: { users: fromZero(1.15) },
      axes: [valueAxis('users', integer, { size: 44, whole: true })],
      series: [
        line({ fill: () => colour('--violet-area') }),
        line({ fill: () => colour('--violet-area-light'), dash: [5, 4] }),
      ],
      describe: (index) => this.describe(index),
    });
  }

  update({ rows, from, to, edge, watermark, now }) {
    this.now = now;
    const byEnd = new Map(rows.map((row) => [row.end, row]));
    const since = rows.length ? rows[0].end : Infinity;
    this.points = [];
    for (let end = from; end <= to; end += MINUTE) {
      // A window that the watermark has not passed would always look like a fall.
      const closed = end <= edge;
      const row = closed ? byEnd.get(end) : undefined;
      const quiet = closed && !row && end > since;
      this.points.push({
        end,
        row,
        state: row ? windowState(row, watermark) : null,
        users: row ? Number(row.row.usuarios) : quiet ? 0 : null,
      });
    }
    const lastFinal = this.points.findLastIndex((point) => point.state === 'final');
    this.chart.draw(from, to, [
      this.points.map((point) => point.end / 1000),
      this.points.map((point, index) => (index <= lastFinal ? point.users : null)),
      // The provisional line starts on the last final point, so that the two meet.
      this.points.map((point, index) => (index >= lastFinal ? point.users : null)),
    ]);
    const some = this.points.some((point) => point.row);
    setOverlay(this.host, some ? '' : 'Ninguém por aqui ainda', 'Qualquer evento em eventos_clientes conta o seu id_usuario.');
  }

  describe(index) {
    const point = this.points[index];
    if (!point || point.users === null) return null;
    const final = point.state === 'final';
    return {
      title: point.row ? period(point.row.start, point.row.end, this.now) : period(point.end - 5 * MINUTE, point.end, this.now),
      lines: [[final ? 'usuários, final' : 'usuários, provisório', integer(point.users), final ? 'key-users' : 'key-users-provisional']],
    };
  }
}
