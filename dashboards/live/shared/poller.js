// Polling: every job of the page in one cycle, paused while the tab is hidden, slower while the API is down.

import { backoff } from './retry.js';

const CYCLE_MS = 2_000;
/** HTTP/1.1 allows six connections to a host and two belong to the event streams. */
const PARALLEL = 3;

/**
 * Runs jobs `{ run, everyMs?, failed? }`. The first job is the probe: it runs alone until the API has answered it,
 * so an API that is down gets one request for each try, not one for each panel.
 */
export class Poller {
  constructor(jobs, report) {
    this.jobs = jobs.map((job) => ({ everyMs: 0, failed: () => {}, ...job, last: -Infinity }));
    this.report = report;
    this.failures = 0;
    this.answered = false;
    this.running = false;
    this.timer = null;
    document.addEventListener('visibilitychange', () => (document.hidden ? this.stop() : this.now()));
  }

  /** Starts a cycle at once. */
  now() {
    this.stop();
    if (!document.hidden) this.cycle();
  }

  /** Makes a job due, whatever its interval, and runs it soon. */
  hurry(job) {
    const known = this.jobs.find((each) => each.run === job.run);
    if (known) known.last = -Infinity;
    if (this.running) this.again = true;
    else this.now();
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
  }

  async cycle() {
    if (this.running) return;
    this.running = true;
    this.again = false;
    const started = performance.now();
    let outage = null;
    try {
      if (!this.answered) await this.runJob(this.jobs[0], started);
      this.answered = true;
      const due = this.jobs.filter((job) => started - job.last >= job.everyMs);
      await this.runAll(due, started);
    } catch (error) {
      outage = error;
    }
    this.running = false;
    let delay;
    if (outage) {
      this.answered = false;
      this.failures += 1;
      delay = backoff(this.failures);
    } else {
      this.failures = 0;
      delay = this.again ? 0 : Math.max(CYCLE_MS / 4, CYCLE_MS - (performance.now() - started));
    }
    this.report({ outage, failures: this.failures, nextTry: Date.now() + delay });
    if (!document.hidden) this.timer = setTimeout(() => this.cycle(), delay);
  }

  async runAll(due, started) {
    const queue = [...due];
    const worker = async () => {
      for (let job = queue.shift(); job; job = queue.shift()) {
        try {
          await this.runJob(job, started);
        } catch (error) {
          queue.length = 0;
          throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
  }

  /** An answered error belongs to the job's panel; an API that cannot answer ends the cycle. */
  async runJob(job, started) {
    try {
      await job.run();
      job.last = started;
      job.failed(null);
    } catch (error) {
      if (error.unavailable) throw error;
      job.last = started;
      job.failed(error);
      if (error.name !== 'ApiError') console.error(error);
    }
  }
}
