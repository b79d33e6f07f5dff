// Windows of a metric: rows kept by time, and the periods the page compares.

import { parseTime } from './api.js';
import { domainCurrency } from './format.js';

export const MINUTE = 60_000;
export const HOUR = 3_600_000;

export const floorTo = (ms, step) => Math.floor(ms / step) * step;

/** A row as the API gives it, with its times as numbers. */
function read(row) {
  return {
    // A table without windows is one that has always been there.
    start: row.janela_inicio === undefined ? 0 : parseTime(row.janela_inicio),
    end: row.janela_fim === undefined ? 0 : parseTime(row.janela_fim),
    final: row.provisoria === false || row.provisoria === undefined,
    currency: row.moeda ?? domainCurrency(),
    row,
  };
}

export const readRows = (rows) => (rows ?? []).map(read).filter((each) => !Number.isNaN(each.start));

export const STATE_TEXT = { final: 'final', provisional: 'provisório', open: 'em curso' };

/** `final`, `provisional`, or `open` while events of the window are still to come. */
export function windowState(row, watermark) {
  if (row.final) return 'final';
  return watermark !== null && row.end > watermark ? 'open' : 'provisional';
}

/** The rows of one metric, oldest first. */
export class WindowStore {
  constructor() {
    this.rows = [];
    /** Whether the API has answered: before that no rows means nothing. */
    this.loaded = false;
  }

  /** Takes an answer that covers everything from `from` on: what it lacks was removed (a repair may remove a window). */
  replaceSince(from, rows) {
    const fresh = readRows(rows).filter((row) => row.start >= from);
    this.rows = this.rows.filter((row) => row.start < from).concat(fresh).sort(byStart);
  }

  /** Takes an answer that is the whole history the page wants. */
  replaceAll(rows) {
    this.loaded = true;
    this.rows = readRows(rows).sort(byStart);
  }

  /** Takes the rows of single windows, as the stream sends them. */
  replaceWindows(rows) {
    const fresh = readRows(rows);
    const starts = new Set(fresh.map((row) => row.start));
    this.rows = this.rows.filter((row) => !starts.has(row.start)).concat(fresh).sort(byStart);
  }

  of(currency) {
    return this.rows.filter((row) => row.currency === currency);
  }

  currencies() {
    return new Set(this.rows.filter((row) => row.row.moeda).map((row) => row.currency));
  }
}

const byStart = (a, b) => a.start - b.start;

/** The value of the window that starts at `start`; a window without events has no row and counts 0. */
export function valueAt(rows, start, column) {
  const found = rows.find((row) => row.start === start);
  return found ? Number(found.row[column] ?? 0) : 0;
}

/** A sum of counts over windows that do not overlap. */
export function sumOf(rows, from, to, column) {
  const within = rows.filter((row) => row.start >= from && row.end <= to);
  return within.reduce((sum, { row }) => sum + Number(row[column] ?? 0), 0);
}

/** A sum of money over windows that do not overlap, in whole cents so that no cent is lost on the way. */
export function sumMoney(rows, from, to, column) {
  let cents = 0;
  for (const row of rows) {
    if (row.start >= from && row.end <= to) cents += Math.round(Number(row.row[column] ?? 0) * 100);
  }
  return cents / 100;
}

/** Whether a window that is the newest ended so long ago that it must not be taken for the current one. */
export const isPast = (window, now) => now - window.end > window.end - window.start;

/** The newest window that starts at or before `now`: a client's fast clock can open one in the future. */
export function newestStart(rows, now) {
  let newest = null;
  for (const row of rows) {
    if (row.start <= now && (newest === null || row.start > newest)) newest = row.start;
  }
  return newest;
}
