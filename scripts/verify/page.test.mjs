// What the page shows of numbers and times, without a browser: `node --test scripts/verify/page.test.mjs`.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

/** The little of a document that tiles are built of. */
class Node {
  constructor() {
    this.children = [];
    this.dataset = {};
    this.attributes = {};
    this.textContent = '';
  }

  append(...children) {
    this.children.push(...children);
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
  }
}
globalThis.document = { createElement: () => new Node() };
globalThis.location = { origin: 'http://localhost' };

/** The page's files are modules without saying so in a package.json. */
const loaded = new Map();
async function load(path) {
  if (!loaded.has(path.href)) {
    let text = await readFile(path, 'utf8');
    for (const [whole, other] of text.matchAll(/from '(\.[^']+)'/g)) text = text.replace(whole, `from '${await load(new URL(other, path))}'`);
    loaded.set(path.href, `data:text/javascript;base64,${Buffer.from(text).toString('base64')}`);
  }
  return loaded.get(path.href);
}
const page = async (name) => import(await load(new URL(`../../dashboards/live/${name}`, import.meta.url)));

const MINUTE = 60_000;
const EDGE = Date.parse('2026-11-28T12:00:00Z');

async function tiles({ users, orders }) {
  const { Tiles } = await page('ecommerce/tiles.js');
  const { WindowStore } = await page('shared/windows.js');
  const at = (ms) => new Date(ms).toISOString();
  const store = (rows) => {
    const made = new WindowStore();
    made.replaceAll(rows);
    return made;
  };
  const active = users.map((usuarios, index) => {
    const start = EDGE - (users.length - index) * 5 * MINUTE;
    return { janela_inicio: at(start), janela_fim: at(start + 5 * MINUTE), usuarios };
  });
  const sales = orders.map((pedidos, index) => {
    const start = EDGE - (orders.length - index) * MINUTE;
    return { janela_inicio: at(start), janela_fim: at(start + MINUTE), moeda: 'BRL', pedidos, receita: pedidos * 10 };
  });
  const host = new Node();
  const shown = new Tiles(host);
  const context = { currency: 'BRL', edge: EDGE, watermark: EDGE, now: EDGE, dataSince: EDGE - 600 * MINUTE };
  shown.update({ ...context, sales: store(sales), users: store(active), ticket: store([]) });
  return (id) => shown.tiles.get(id).delta.textContent.replaceAll('\u00a0', ' ');
}

test('changes against few users or orders are not shown, and huge ones are capped', async () => {
  let delta = await tiles({ users: [3, 260], orders: [2, 90] });
  assert.equal(delta('users'), '');
  assert.equal(delta('orders'), '');
  assert.equal(delta('minute'), '');
  delta = await tiles({ users: [30, 2600], orders: [100, 150] });
  assert.equal(delta('users'), '▲ > 999%');
  assert.equal(delta('orders'), '▲ 50%');
  assert.equal(delta('minute'), '▲ 50%');
  delta = await tiles({ users: [5, 5], orders: [100, 50] });
  assert.equal(delta('users'), '= igual');
  assert.equal(delta('orders'), '▼ 50%');
});

test('a time of another year has its year, one of another day its day', async () => {
  const { configure, moment, period } = await page('shared/format.js');
  configure({ zone: 'America/Sao_Paulo', currency: 'BRL' });
  const now = Date.parse('2026-11-28T12:00:00Z');
  assert.equal(moment(Date.parse('2026-11-28T11:30:00Z'), now), '08:30');
  assert.equal(moment(Date.parse('2026-11-27T11:30:00Z'), now), '27/11 08:30');
  assert.equal(moment(Date.parse('2025-05-14T22:16:00Z'), now), '14/05/2025 19:16');
  assert.equal(period(Date.parse('2025-05-14T22:16:00Z'), Date.parse('2025-05-14T22:17:00Z'), now), '14/05/2025 19:16–19:17');
});

test('a window that ended longer ago than it lasts is not the current one', async () => {
  const { isPast } = await page('shared/windows.js');
  const window = { start: EDGE - 2 * MINUTE, end: EDGE - MINUTE };
  assert.equal(isPast(window, EDGE - 30_000), false);
  assert.equal(isPast(window, EDGE), false);
  assert.equal(isPast(window, EDGE + 1), true);
});
