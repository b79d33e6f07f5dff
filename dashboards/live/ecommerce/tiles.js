// The tiles: each headline figure with the period before it.

import { el, setState, setText } from '../shared/dom.js';
import { change, integer, money, period } from '../shared/format.js';
import { HOUR, MINUTE, floorTo, sumMoney, sumOf, valueAt } from '../shared/windows.js';

const ACTIVE_SPAN = 5 * MINUTE;
/** Smaller changes than this show as no change. */
const FLAT = 0.0005;
/** Longer figures than these are written smaller, so that millions fit a phone's tile. */
const LONG = 12;
const VERY_LONG = 14;
/** A change against fewer users or orders than this says nothing. */
const LEAST_BASE = 20;

const TILES = [
  { id: 'minute', label: 'Receita no último minuto', tone: 'blue', help: 'Valor bruto das compras no último minuto completo.' },
  { id: 'hour', label: 'Receita em 60 min', tone: 'blue', help: 'Valor bruto das compras nos últimos 60 minutos completos.' },
  { id: 'orders', label: 'Pedidos no último minuto', tone: 'amber', help: 'Pedidos distintos no último minuto completo.' },
  { id: 'users', label: 'Usuários ativos em 5 min', tone: 'violet', help: 'Usuários distintos com qualquer evento em 5 minutos.' },
  { id: 'ticket', label: 'Ticket médio na hora', tone: 'green', help: 'Receita líquida (sem descontos e reembolsos) dividida pelos pedidos da hora.' },
];

export class Tiles {
  constructor(host) {
    this.tiles = new Map(TILES.map((tile) => [tile.id, build(tile)]));
    host.append(...[...this.tiles.values()].map((tile) => tile.root));
  }

  update({ sales, users, ticket, currency, edge, watermark, now, dataSince }) {
    const rows = sales.of(currency);
    // Before the first event there is nothing to compare with: a zero there would be invented.
    const known = (from) => dataSince !== null && from >= dataSince;
    const started = dataSince !== null;

    const minute = (column, show) => {
      const [current, before] = [edge - MINUTE, edge - 2 * MINUTE].map((start) => valueAt(rows, start, column));
      const whole = known(edge - 2 * MINUTE);
      return {
        value: started ? show(current) : null,
        when: period(edge - MINUTE, edge, now),
        previous: whole ? show(before) : null,
        previousLabel: 'minuto anterior',
        ratio: whole ? ratio(current, before, valueAt(rows, edge - 2 * MINUTE, 'pedidos')) : null,
      };
    };
    this.show('minute', minute('receita', (value) => money(value, currency)));
    this.show('orders', minute('pedidos', integer));

    const hour = sumMoney(rows, edge - HOUR, edge, 'receita');
    const hourBefore = sumMoney(rows, edge - 2 * HOUR, edge - HOUR, 'receita');
    const begun = started && dataSince < edge - HOUR;
    const whole = known(edge - 2 * HOUR);
    this.show('hour', {
      value: started ? money(hour, currency) : null,
      when: known(edge - HOUR) ? period(edge - HOUR, edge, now) : started && dataSince < edge ? `${period(dataSince, edge, now)}, parcial` : '',
      previous: begun ? money(hourBefore, currency) : null,
      previousLabel: whole || !begun ? '60 min anteriores' : '60 min anteriores, incompletos',
      ratio: whole ? ratio(hour, hourBefore, sumOf(rows, edge - 2 * HOUR, edge - HOUR, 'pedidos')) : null,
    });

    const usersNow = valueAt(users.rows, edge - ACTIVE_SPAN, 'usuarios');
    const usersBefore = valueAt(users.rows, edge - 2 * ACTIVE_SPAN, 'usuarios');
    this.show('users', {
      value: users.rows.length ? integer(usersNow) : null,
      when: period(edge - ACTIVE_SPAN, edge, now),
      previous: known(edge - 2 * ACTIVE_SPAN) ? integer(usersBefore) : null,
      previousLabel: '5 min anteriores',
      ratio: known(edge - 2 * ACTIVE_SPAN) ? ratio(usersNow, usersBefore, usersBefore) : null,
    });

    this.show('ticket', ticketFigures(ticket.of(currency), currency, watermark ?? now, now));
  }

  show(id, { value, when, previous, previousLabel, ratio: delta }) {
    const tile = this.tiles.get(id);
    setText(tile.value, value ?? '—');
    const { length } = value ?? '';
    tile.value.dataset.length = length > VERY_LONG ? 'very-long' : length > LONG ? 'long' : 'short';
    setText(tile.when, value === null ? '' : when);
    setText(tile.previous, previous === null ? `${previousLabel}: sem dados` : `${previousLabel}: ${previous}`);
    const shown = delta !== null && value !== null;
    setText(tile.delta, shown ? arrow(delta) : '');
    tile.delta.setAttribute('aria-label', shown ? `variação: ${change(delta)}` : '');
    setState(tile.delta, delta === null || Math.abs(delta) < FLAT ? 'flat' : delta > 0 ? 'up' : 'down');
  }
}

function ticketFigures(rows, currency, at, now) {
  const start = floorTo(at, HOUR);
  const current = rows.find((row) => row.start <= at && at < row.end);
  const begin = current?.start ?? start;
  const before = rows.filter((row) => row.end <= begin).at(-1);
  const adjacent = before && before.end === begin ? before : null;
  const value = current?.row.ticket ?? null;
  const previous = adjacent?.row.ticket ?? null;
  const orders = current ? ` · ${integer(current.row.pedidos ?? 0)} pedidos` : '';
  return {
    value: value === null ? null : money(value, currency),
    when: `${period(begin, current?.end ?? begin + HOUR, now)}${orders}`,
    previous: previous === null ? null : money(previous, currency),
    previousLabel: 'hora anterior',
    ratio: value === null || previous === null ? null : ratio(Number(value), Number(previous), Number(adjacent.row.pedidos ?? 0)),
  };
}

/** The relative change, or null where there is no base to compare with, or one of so few users or orders that it says nothing. */
function ratio(current, previous, base) {
  if (current === previous) return 0;
  if (previous === 0 || base < LEAST_BASE) return null;
  return (current - previous) / Math.abs(previous);
}

function arrow(delta) {
  if (Math.abs(delta) < FLAT) return '= igual';
  return `${delta > 0 ? '▲' : '▼'} ${change(Math.abs(delta)).replace('+', '')}`;
}

function build({ label, tone, help }) {
  const value = el('p', { class: 'tile-value' }, '—');
  const when = el('span', { class: 'tile-when' });
  const previous = el('p', { class: 'tile-previous' });
  const delta = el('span', { class: 'delta', role: 'img' });
  const root = el(
    'article',
    { class: 'tile panel', 'data-tone': tone, title: help },
    el('h2', { class: 'tile-label' }, label),
    value,
    el('p', { class: 'tile-line' }, delta, when),
    previous,
  );
  return { root, value, when, previous, delta };
}
