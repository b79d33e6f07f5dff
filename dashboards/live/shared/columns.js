// Columns of any metric: which hold money, times or counts, and how a cell reads.

import { parseTime, serverNow } from './api.js';
import { isInteger, isNumber } from './exact.js';
import { integer, money, moment, plainNumber } from './format.js';

const WINDOW_COLUMNS = new Set(['janela_inicio', 'janela_fim', 'provisoria']);
/** Numbers that give an order, not a quantity. */
const ORDER_COLUMNS = new Set(['ordem', 'posicao']);
const MONEY_TYPE = /decimal\(\d+,\s*2\)/i;
const TIME_VALUE = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/;

let moneyName = null;

/** Takes the pattern of names that hold money, whatever else the row says. */
export const nameMoney = (pattern) => {
  moneyName = pattern;
};

/** Accepts `[{ nome, tipo }]` and a plain list of names; adds what the rows have beyond it. */
export function columnsOf(declared, rows) {
  const columns = new Map();
  for (const column of declared ?? []) {
    const name = typeof column === 'string' ? column : column?.nome;
    if (name) columns.set(name, { name, type: String(column.tipo ?? '') });
  }
  for (const row of rows) {
    for (const name of Object.keys(row)) if (!columns.has(name)) columns.set(name, { name, type: '' });
  }
  return [...columns.values()].filter(({ name }) => !WINDOW_COLUMNS.has(name));
}

/** Splits columns into what can be measured and what tells the rows of one window apart. */
export function rolesOf(columns, rows) {
  const numeric = columns.filter(({ name }) => rows.some((row) => isNumber(row[name])));
  return {
    measures: numeric.filter(({ name }) => !ORDER_COLUMNS.has(name)),
    keys: columns.filter(({ name }) => name !== 'moeda' && rows.some((row) => typeof row[name] === 'string' && !TIME_VALUE.test(row[name]))),
    ordered: numeric.some(({ name }) => ORDER_COLUMNS.has(name)),
    byCurrency: columns.some(({ name }) => name === 'moeda'),
  };
}

export function isMoney({ name, type }, row) {
  return Boolean(moneyName?.test(name)) || (row.moeda != null && MONEY_TYPE.test(type));
}

export function cellText(column, row) {
  const value = row[column.name];
  if (value === null || value === undefined) return '—';
  if (typeof value === 'boolean') return value ? 'sim' : 'não';
  if (isNumber(value)) {
    if (isMoney(column, row)) return money(value, row.moeda ?? undefined);
    return isInteger(value) ? integer(value) : plainNumber(value);
  }
  if (typeof value === 'string' && TIME_VALUE.test(value)) {
    const time = parseTime(value);
    return Number.isNaN(time) ? value : moment(time, serverNow(), true);
  }
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** The catalog's window in words; it may already be words. */
export function windowText(janela) {
  if (!janela) return 'sem janela';
  if (typeof janela === 'string') return janela;
  const { tamanho, passo, tipo } = janela;
  if (!tamanho) return tipo ?? 'sem janela';
  return passo && passo !== tamanho ? `${tamanho}, a cada ${passo}` : String(tamanho);
}
