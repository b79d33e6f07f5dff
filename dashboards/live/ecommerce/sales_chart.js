// Chart of `vendas_por_minuto`: revenue as bars by their state, orders as a line.

import { Chart, colour, fromZero, hatch, valueAxis } from '../shared/charts.js';
import { byId, setOverlay, setText } from '../shared/dom.js';
import { integer, money, moneyCompact, period } from '../shared/format.js';
import { MINUTE, windowState } from '../shared/windows.js';

const STATE_TEXT = { final: 'final', provisional: 'provisória', open: 'em curso' };
const STATE_KEY = { final: 'key-final', provisional: 'key-provisional', open: 'key-open' };

export class SalesChart {
  constructor(host) {
    this.host = host;
    this.points = [];
    const bars = window.uPlot.paths.bars({ size: [0.78, 26], radius: 0.12 });
    const bar = (style) => ({ scale: 'money', paths: bars, points: { show: false }, width: 0, ...style });
    this.chart = new Chart(host, {
      scales: { money: fromZero(1.3), orders: fromZero(1.12) },
      axes: [
        valueAxis('money', (value) => moneyCompact(value, this.currency), { size: 66 }),
        valueAxis('orders', integer, { side: 1, size: 40, grid: false, whole: true }),
      ],
      series: [
        bar({ fill: () => colour('--bar') }),
        bar({ fill: () => hatch('--bar-tint', '--bar-stripe') }),
        bar({ fill: () => colour('--bar-open'), stroke: () => colour('--bar-stripe'), width: 1, dash: [3, 3] }),
        { scale: 'orders', stroke: () => colour('--amber-line'), width: 2, points: { show: false } },
      ],
      hooks: { draw: [(plot) => this.drawBoundary(plot)] },
      describe: (index) => this.describe(index),
    });
  }

  update({ rows, currency, from, to, edge, watermark, now, dataSince }) {
    this.currency = currency;
    this.now = now;
    const byStart = new Map(rows.map((row) => [row.start, row]));
    this.points = [];
    this.boundary = null;
    for (let start = from; start < to; start += MINUTE) {
      const row = byStart.get(start);
      const state = row ? windowState(row, watermark) : null;
      // A minute without sales has no row and sold nothing; before the first event and after the watermark nobody knows.
      const quiet = !row && dataSince !== null && start >= dataSince && start < edge;
      this.points.push({
        start,
        state,
        money: row ? Number(row.row.receita) : quiet ? 0 : null,
        orders: row ? Number(row.row.pedidos) : quiet ? 0 : null,
        units: row ? Number(row.row.unidades ?? 0) : null,
      });
      if (state === 'final') this.boundary = start + MINUTE;
    }
    const some = this.points.some((point) => point.state);
    const moneyOf = (wanted) => this.points.map((point) => (point.state === wanted ? point.money : null));
    this.chart.draw(from, to, [
      this.points.map((point) => (point.start + MINUTE / 2) / 1000),
      moneyOf('final'),
      moneyOf('provisional'),
      moneyOf('open'),
      this.points.map((point) => (some && point.state !== 'open' ? point.orders : null)),
    ]);
    setOverlay(
      this.host,
      some ? '' : 'Nenhuma venda neste período',
      'As vendas são os eventos do tipo compra no tópico eventos_clientes.',
    );
    setText(byId('sales-period'), `${period(from, to, now)} · receita bruta em ${currency}`);
  }

  describe(index) {
    const point = this.points[index];
    if (!point || point.money === null) return null;
    const lines = [
      [point.state ? `receita ${STATE_TEXT[point.state]}` : 'receita', money(point.money, this.currency), STATE_KEY[point.state]],
      ['pedidos', integer(point.orders), 'key-line'],
    ];
    if (point.units !== null) lines.push(['unidades', integer(point.units)]);
    return { title: period(point.start, point.start + MINUTE, this.now), lines };
  }

  /** A dashed line where final figures end and provisional ones begin. */
  drawBoundary(plot) {
    if (!this.boundary || this.boundary >= this.chart.bounds[1] * 1000) return;
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const x = Math.round(plot.valToPos(this.boundary / 1000, 'x', true)) + 0.5;
    ctx.save();
    ctx.strokeStyle = colour('--text-soft');
    ctx.fillStyle = colour('--text-soft');
    ctx.lineWidth = ratio;
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.font = `${10.5 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = 'top';
    ctx.textAlign = 'right';
    if (x - bbox.left > 60 * ratio) ctx.fillText('final', x - 6 * ratio, bbox.top);
    ctx.textAlign = 'left';
    if (bbox.left + bbox.width - x > 80 * ratio) ctx.fillText('provisório', x + 6 * ratio, bbox.top);
    ctx.restore();
  }
}
