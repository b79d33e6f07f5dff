// How long to wait before trying again.

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/** Doubles from one second to thirty; a random part keeps many open pages from asking at the same moment. */
export function backoff(failures) {
  const delay = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, failures - 1));
  return delay * (0.8 + 0.4 * Math.random());
}
