// A dashboard of Superset as a reader sees it: signs in, waits until every chart is drawn, keeps a picture. Fails where a chart shows an error.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { chromium } = createRequire(`${process.env.VITRAL_PAGE_MODULES}/`)('playwright-core');
const [base, dashboard, charts, user, password, picture] = process.argv.slice(2);
const PATIENCE_MS = 600_000;
const ATTEMPTS = 10;
const WAITING = '.loading, [data-test="loading-indicator"], .ant-spin-spinning';
const WRONG = '.ant-alert-error, [role="alert"].ant-alert, [data-test="error-message"], .missing-chart-container';
/** What is drawn in a chart that has something to show. */
const DRAWN = 'canvas, table tbody tr, .header-line';

const browser = await chromium.launch({ executablePath: process.env.VITRAL_PAGE_BROWSER, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
try {
  const page = await (await browser.newContext({ viewport: { width: 1600, height: 1000 }, timezoneId: 'America/Sao_Paulo' })).newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const answers = [];
  page.on('response', (response) => {
    if (response.url().includes('/api/v1/chart/data')) answers.push(response.status());
  });
  await page.goto(`${base}/login/`, { waitUntil: 'commit' });
  const isOut = () => new URL(page.url()).pathname.startsWith('/login');
  // What is typed before the page's scripts run is lost.
  for (let attempt = 0; isOut(); attempt += 1) {
    assert.ok(attempt < ATTEMPTS, `not signed in after ${ATTEMPTS} attempts`);
    await page.fill('#username, [data-test="username-input"]', user);
    await page.fill('#password, [data-test="password-input"]', password);
    await page.press('#password, [data-test="password-input"]', 'Enter');
    await page.waitForURL(() => !isOut(), { waitUntil: 'commit', timeout: 15_000 }).catch(() => {});
  }
  await page.goto(`${base}/superset/dashboard/${dashboard}/`, { waitUntil: 'commit' });
  const seen = () => page.evaluate(([waiting, wrong, drawn]) => {
    const charts = [...document.querySelectorAll('.dashboard-chart')];
    return {
      charts: charts.length,
      drawn: charts.filter((chart) => chart.querySelector(drawn)).length,
      waiting: document.querySelectorAll(waiting).length,
      wrong: [...document.querySelectorAll(wrong)].map((element) => element.innerText.slice(0, 500)),
    };
  }, [WAITING, WRONG, DRAWN]);
  const until = Date.now() + PATIENCE_MS;
  let now;
  do {
    assert.ok(Date.now() < until, `after ${PATIENCE_MS / 1000} s: ${JSON.stringify(now)}`);
    await page.waitForTimeout(500);
    now = await seen();
  } while (!now.wrong.length && (now.charts < Number(charts) || now.drawn < now.charts || now.waiting));
  // Lines and bars move in.
  await page.waitForTimeout(2000);
  await page.screenshot({ path: picture });
  assert.deepEqual((await seen()).wrong, [], 'a chart shows an error');
  assert.ok(answers.length >= Number(charts) && answers.every((status) => status === 200), `the charts' data: ${answers}`);
  console.log(JSON.stringify(now));
} finally {
  await browser.close();
}
