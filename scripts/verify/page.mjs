// The live page as readers see it, in a browser: its numbers are the API's, on a phone and on a wide screen, in any browser's language.
//
// A demo without its simulator gets a fixed number of messages; once all are read nothing moves any more, and what the page shows is
// compared with what the API answers, formatted here a second time. `scripts/verify/page PROGRAM` runs it.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { alerts, clean, expectations, shown } from './page.d/compare.mjs';

const { chromium } = createRequire(`${process.env.VITRAL_PAGE_MODULES}/`)('playwright-core');

const PROGRAM = process.argv[2];
const MESSAGES = 3000;
/** At the quietest hour of the shop's day the messages are of 22 minutes: all are of the past. */
const RATE = 15;
const STARTED_MINUTES_AGO = 30;
const PATIENCE_MS = 30_000;
const SCREENS = [
  { name: 'phone, browser in Portuguese', viewport: { width: 390, height: 844 }, locale: 'pt-BR', timezoneId: 'America/Sao_Paulo' },
  { name: 'wide, browser in English', viewport: { width: 1600, height: 1000 }, locale: 'en-US', timezoneId: 'Asia/Tokyo' },
];
const HEADINGS = [
  'Alertas', 'Vendas por minuto', 'Usuários ativos', 'Produtos mais vistos', 'Produtos mais vendidos', 'Funil de conversão', 'Estoque em falta',
  'De onde vêm os números', 'Reconciliação', 'Livro', 'Todas as métricas',
];

const began = performance.now();
const folder = await mkdtemp(join(tmpdir(), 'vitral-page-'));
let demo, browser, compared = 0;
try {
  demo = spawn(PROGRAM, ['--data-dir', folder, 'demo', '--rate', '0', '--kafka', '127.0.0.1:0', '--api', '127.0.0.1:0', '--sql', '127.0.0.1:0'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  demo.stderr.on('data', (text) => { log = (log + text).slice(-4000); });
  const address = await eventually('the demo answers', async () => {
    assert.equal(demo.exitCode, null, `the demo has ended: ${log}`);
    return Object.fromEntries((await readFile(join(folder, 'demo.env'), 'utf8')).trim().split('\n').map((line) => line.split('=')));
  });
  await fill(address);
  const api = address.VITRAL_API_URL;
  const expected = await expectations(api);
  browser = await chromium.launch({ executablePath: process.env.VITRAL_PAGE_BROWSER, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const texts = [];
  for (const screen of SCREENS) texts.push(await look(screen, api, expected));
  assert.deepEqual(texts[0], texts[1], 'the page reads the same in every browser');
} finally {
  await browser?.close();
  await stop(demo);
  await rm(folder, { recursive: true, force: true });
}
console.log(`page: ${compared} figures equal the API's on ${SCREENS.length} screens, without an error in the console, in ${Math.round((performance.now() - began) / 1000)} s`);

/** Sends the messages, and waits until every one is read. */
async function fill({ VITRAL_KAFKA, VITRAL_API_URL }) {
  const start = new Date(Date.now() - STARTED_MINUTES_AGO * 60_000).toISOString();
  const words = ['simulate', '--seed', '7', '--start', start, '--count', String(MESSAGES), '--rate', String(RATE), '--to', 'kafka'];
  execFileSync(PROGRAM, words, { env: { ...process.env, VITRAL__CONNECTIONS__KAFKA__URL: `kafka://${VITRAL_KAFKA}` }, stdio: ['ignore', 'ignore', 'inherit'], cwd: folder });
  let before = '';
  await eventually('all messages are read, and nothing moves', async () => {
    // Tables without windows may be of topics that nothing is sent to.
    const metrics = (await (await fetch(`${VITRAL_API_URL}/metricas`)).json()).filter(({ janela }) => janela !== 'sem janela');
    const names = metrics.map(({ nome }) => nome);
    const answers = await Promise.all(names.map(async (name) => (await fetch(`${VITRAL_API_URL}/metricas/${name}?limite=1000`)).json()));
    // The ledger shows what is committed, a moment after it is counted.
    const ledger = await (await fetch(`${VITRAL_API_URL}/livro?limite=1000`)).json();
    const { recusadas, duplicadas, atrasadas } = answers[0].completude;
    const now = JSON.stringify([answers, ledger]);
    const still = now === before;
    before = now;
    assert.ok(answers.every(({ completude }) => completude.lidas === MESSAGES) && ledger.length >= recusadas + duplicadas + atrasadas && still);
  });
}

/** One screen: its figures, its texts, its layout; returns the fixed texts. */
async function look({ name, ...options }, api, expected) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(`${error}`));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && errors.push(message.text()));
  page.on('response', (response) => response.status() >= 400 && errors.push(`${response.status()} ${response.url()}`));
  await page.goto(api);

  for (const { what, select, figures } of expected.panels) {
    await eventually(`${name}: ${what}`, async () => assert.deepEqual(await shown(page, select), figures));
    compared += figures.length;
  }
  for (const metric of expected.metrics) {
    await page.locator(`#metrics a.metric-open:has(.metric-name:text-is("${metric.name}"))`).click();
    await eventually(`${name}: the table of ${metric.name}`, async () => {
      assert.equal(await page.locator('#detail h3').textContent(), metric.name);
      assert.deepEqual(await shown(page, { rows: '#detail table.rows tbody tr', parts: metric.columns.map((column) => `td:nth-child(${column})`) }), metric.figures);
      assert.deepEqual((await page.locator('#detail .note').allTextContents()).map(clean), [metric.description, metric.note]);
      assert.ok(!metric.isUnranked || !(await page.locator('#detail .bars').isVisible()), 'a part of the rows is not ranked');
    });
    compared += metric.figures.length;
  }
  if (expected.otherCurrency) {
    await page.locator('#currency').selectOption(expected.otherCurrency.code);
    const { select, figures } = expected.otherCurrency;
    await eventually(`${name}: sales in ${expected.otherCurrency.code}`, async () => assert.deepEqual(await shown(page, select), figures));
    compared += figures.length;
  }

  await eventually(`${name}: the connection is live`, async () => assert.equal(await page.locator('#connection').textContent(), 'Ao vivo'));
  assert.equal(await page.locator('html').getAttribute('lang'), 'pt-BR');
  // A metric without rows looks the same before its answer has come.
  await eventually(`${name}: all is loaded`, async () => assert.ok(!(await page.locator('body').innerText()).includes('Carregando')));
  const visible = clean(await page.locator('body').innerText());
  for (const leftover of ['{{', 'undefined', 'NaN', '[object', 'Carregando', 'Invalid Date']) {
    assert.ok(!visible.includes(leftover), `${name}: the page says ${leftover}`);
  }
  compared += await eventually(`${name}: its alerts`, async () => {
    const standing = await alerts(api);
    assert.ok(standing.length, 'what runs short is an alert a moment later');
    assert.equal(await page.locator('#alerts-list > li').count(), standing.length);
    let figures = 0;
    for (const alert of standing) figures += await unfolded(page, alert);
    return figures;
  });
  assert.deepEqual((await page.locator('main section h2[id]:visible').allTextContents()).map(clean), HEADINGS, `${name}: its panels`);
  const { wide, spilled, blank } = await page.evaluate(layout);
  assert.deepEqual({ wide, spilled, blank }, { wide: false, spilled: [], blank: [] }, `${name}: layout`);
  assert.deepEqual(errors, [], `${name}: the console and the requests`);
  const fixed = await page.locator('main h2, main .sub code, .legend li, .tile-label, dt, footer').allTextContents();
  await context.close();
  return fixed.map(clean);
}

/** An alert's line, and its keys below it; how many figures were compared. */
async function unfolded(page, { name, counts, columns, figures }) {
  const line = `#alerts-list > li:has(b:text-is("${name}"))`;
  assert.deepEqual(await shown(page, { rows: `${line} summary`, parts: ['span'] }), [[counts]]);
  const isOpen = await page.locator(`${line} details`).evaluate((details) => details.open);
  if (!isOpen) await page.locator(`${line} summary`).press('Enter');
  assert.deepEqual(await shown(page, { rows: `${line} tbody tr`, parts: columns.map((column) => `td:nth-child(${column})`) }), figures);
  return figures.length + 1;
}

/** In the browser: what is wider than the screen, and charts that have drawn nothing. */
function layout() {
  const width = document.documentElement.clientWidth;
  const panels = [...document.querySelectorAll('header.top, main > section:not([hidden]), footer')];
  const spilled = panels.filter((panel) => {
    const { left, right } = panel.getBoundingClientRect();
    return left < 0 || right > width + 1 || right - left < 100;
  });
  const blank = [...document.querySelectorAll('.chart canvas')].filter((canvas) => {
    if (!canvas.width || !canvas.height) return true;
    return !canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte);
  });
  const name = (node) => node.id || node.className;
  return {
    wide: document.documentElement.scrollWidth > width,
    spilled: spilled.map(name),
    blank: blank.map((canvas) => name(canvas.closest('.chart'))),
  };
}

/** Tries until it holds; what it returns. */
async function eventually(what, attempt) {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > until) throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s`, { cause: error });
      await new Promise((go) => setTimeout(go, 200));
    }
  }
}

async function stop(child) {
  if (!child || child.exitCode !== null) return;
  const ended = new Promise((end) => child.once('exit', (code) => end(code)));
  child.kill('SIGTERM');
  assert.equal(await ended, 0, 'the demo ends in order');
}
