// 'Alertas': what fires now, what waits before it fires, and alerts whose query fails. Each alert is a line, which unfolds to its keys. The
// panel is there only while there is something.

import { parseTime } from './api.js';
import { cellText } from './columns.js';
import { el, setText } from './dom.js';
import { isNumber, parseJson } from './exact.js';
import { integer, moment } from './format.js';

/** The most pressing first. */
const STATES = {
  falha: { one: 'a consulta falha', key: 'recusadas' },
  disparado: { one: 'disparado', many: 'disparados', key: 'recusadas' },
  pendente: { one: 'pendente', many: 'pendentes', key: 'atrasadas' },
};
const SEVERITIES = { critical: 'crítico', warning: 'atenção', info: 'informação' };
const NEWS = { pendente: 'a caminho', entregue: 'avisado' };

export class Alerts {
  constructor(panel, list, sub) {
    this.panel = panel;
    this.list = list;
    this.sub = sub;
    this.lines = new Map();
  }

  /** Takes the rows of `GET /alertas`. `most`: as many as were asked for, and there may be more. */
  update({ rows, now, most }) {
    const standing = rows.filter(({ estado }) => STATES[estado]);
    this.panel.hidden = !standing.length;
    setText(this.sub, `${standing.length < most ? '' : `os primeiros ${integer(most)}: `}o que disparou e ainda não passou`);
    const names = new Set(standing.map(({ alerta }) => alerta));
    for (const [name, line] of this.lines) {
      if (names.has(name)) continue;
      line.root.remove();
      this.lines.delete(name);
    }
    for (const name of names) show(this.lines.get(name) ?? this.add(name), standing.filter(({ alerta }) => alerta === name), now);
  }

  add(name) {
    const line = { key: el('i', { class: 'key' }), counts: el('span'), since: el('span', { class: 'soft' }), body: el('div') };
    line.root = el('li', {}, el('details', {}, el('summary', {}, line.key, el('b', {}, name), line.counts, line.since), line.body));
    this.lines.set(name, line);
    this.list.append(line.root);
    return line;
  }
}

function show(line, rows, now) {
  const states = Object.keys(STATES).filter((state) => rows.some(({ estado }) => estado === state));
  line.key.dataset.verdict = STATES[states[0]].key;
  setText(line.counts, states.map((state) => ` · ${countText(state, rows)}`).join(''));
  const since = Math.min(...rows.map(({ desde }) => parseTime(desde)));
  setText(line.since, ` · ${SEVERITIES[rows[0].severidade] ?? rows[0].severidade}, desde ${moment(since, now)}`);
  // What a reader has selected there stays while nothing changes.
  const text = JSON.stringify(rows);
  if (text === line.shown) return;
  line.shown = text;
  const failure = rows.find(({ estado }) => estado === 'falha');
  const keys = rows.filter(({ estado }) => estado !== 'falha');
  line.body.replaceChildren(
    ...(failure ? [el('p', {}, `A consulta falha, e por isso o alerta nem dispara nem resolve: ${failure.conteudo}`)] : []),
    ...(keys.length ? [table(keys, now), el('p', { class: 'note' }, note(keys))] : []),
  );
}

function countText(state, rows) {
  const { one, many } = STATES[state];
  const count = rows.filter(({ estado }) => estado === state).length;
  return many ? `${integer(count)}\u00a0${count === 1 ? one : many}` : one;
}

/** The rows of all keys as they were when each fired, or began to wait. */
function table(keys, now) {
  const rows = keys.flatMap((alert) => contentOf(alert).map((row) => ({ alert, row })));
  const columns = [...new Set(rows.flatMap(({ row }) => Object.keys(row)))].map((name) => ({ name, type: '' }));
  const cells = [
    ...columns.map((column) => ({
      name: column.name,
      kind: rows.some(({ row }) => isNumber(row[column.name])) && 'number',
      text: ({ row }) => cellText(column, row),
    })),
    { name: 'situação', text: ({ alert }) => newsText(alert) },
    { name: 'desde', text: ({ alert }) => moment(parseTime(alert.desde), now, true) },
  ];
  const head = cells.map(({ name, kind }) => el('th', { scope: 'col', class: kind }, name));
  const body = rows.map((row) => el('tr', {}, ...cells.map(({ text, kind }) => el('td', { class: kind }, text(row)))));
  return el('div', { class: 'table-scroll', tabindex: '0', role: 'region', 'aria-label': `Linhas de ${keys[0].alerta}` },
    el('table', { class: 'rows' }, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...body)));
}

function contentOf({ chave, conteudo }) {
  try {
    const rows = parseJson(conteudo);
    if (rows.length) return rows;
  } catch {
    // Without rows that can be read there is the key alone.
  }
  return [{ chave }];
}

function newsText({ estado, silenciado, notificacao }) {
  const parts = [STATES[estado].one];
  if (silenciado) parts.push('silenciado');
  if (notificacao) parts.push(NEWS[notificacao] ?? `aviso ${notificacao}`);
  return parts.join(' · ');
}

function note(keys) {
  const isCut = keys.some((alert) => alert.linhas > contentOf(alert).length);
  return `Os valores são de quando cada um disparou ou ficou pendente${isCut ? '; de cada chave, as primeiras linhas' : ''}.`;
}
