// Requests to the API, its errors, and the server's clock.

import { parseJson } from './exact.js';
import { showSession, signIn } from './session.js';

/** A request that takes longer than this is as good as lost: the page asks again every two seconds. */
const TIMEOUT_MS = 10_000;
/** Clocks nearer than this are taken as equal: the Date header has whole seconds only. */
const CLOCK_TOLERANCE_MS = 2_000;
const UNAVAILABLE = new Set([429, 502, 503, 504]);

let clockOffset = 0;

/** The server's time, so that a wrong clock on this computer does not fake a delay. */
export const serverNow = () => Date.now() + clockOffset;

/** `unavailable` tells a server that cannot answer now from one that answered with an error. */
export class ApiError extends Error {
  constructor(message, unavailable) {
    super(message);
    this.name = 'ApiError';
    this.unavailable = unavailable;
  }
}

/** Gets a path with parameters; returns the parsed body and the headers. */
export async function getJson(path, parameters = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null) url.searchParams.set(name, value);
  }
  const asked = Date.now();
  let response;
  try {
    response = await fetch(url, {
      headers: { accept: 'application/json' },
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new ApiError(error.name === 'TimeoutError' ? 'A API demorou demais para responder.' : 'A API não responde.', true);
  }
  learnClock(response.headers.get('date'), asked, Date.now());
  showSession(response.headers);
  if (response.status === 401) signIn();
  if (!response.ok) throw new ApiError(await problemText(response), UNAVAILABLE.has(response.status));
  try {
    return { body: parseJson(await response.text()), headers: response.headers };
  } catch {
    throw new ApiError('A API deu uma resposta incompleta.', true);
  }
}

function learnClock(date, asked, answered) {
  const server = Date.parse(date ?? '');
  if (Number.isNaN(server)) return;
  const sample = server + 500 - (asked + answered) / 2;
  if (Math.abs(sample) < CLOCK_TOLERANCE_MS) clockOffset = 0;
  else if (Math.abs(sample - clockOffset) > CLOCK_TOLERANCE_MS) clockOffset = sample;
}

/** The text of an `application/problem+json` answer, or the status alone. */
async function problemText(response) {
  const status = `Erro ${response.status}`;
  try {
    const problem = await response.json();
    const text = [problem.detail ?? problem.title, problem.remedio].filter(Boolean).map(sentence).join(' ');
    return text ? `${status}: ${text}` : status;
  } catch {
    return status;
  }
}

const sentence = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);

/** Times come in UTC; one without an offset must not be read in this computer's zone. */
export function parseTime(text) {
  if (typeof text === 'number') return text;
  if (typeof text !== 'string') return NaN;
  return Date.parse(/(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text.replace(' ', 'T')}Z`);
}

export const metricPath = (name) => `/metricas/${encodeURIComponent(name)}`;
