// A server-sent event stream that comes back by itself and rests while the tab is hidden.

import { parseJson } from './exact.js';
import { backoff } from './retry.js';

/**
 * The browser reconnects after a lost connection, but gives up for good after an HTTP error: then this opens a new one.
 * The page keeps at most two of these (sales, and the metric open in the explorer): see poller.js for the arithmetic.
 */
export class Stream {
  constructor(path, onMessage, onState = () => {}) {
    this.path = path;
    this.onMessage = onMessage;
    this.onState = onState;
    this.failures = 0;
    this.ended = false;
    this.onVisibility = () => (document.hidden ? this.pause() : this.open());
    document.addEventListener('visibilitychange', this.onVisibility);
    this.open();
  }

  open() {
    if (this.ended || this.source || document.hidden) return;
    clearTimeout(this.timer);
    this.onState('connecting');
    const source = new EventSource(this.path);
    this.source = source;
    source.onopen = () => {
      this.failures = 0;
      this.onState('open');
    };
    source.onmessage = (event) => {
      let message;
      try {
        message = parseJson(event.data);
      } catch {
        return;
      }
      this.onMessage(message);
    };
    source.onerror = () => {
      this.onState('connecting');
      if (source.readyState !== EventSource.CLOSED || this.source !== source) return;
      this.pause();
      this.failures += 1;
      this.timer = setTimeout(() => this.open(), backoff(this.failures));
    };
  }

  pause() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  close() {
    this.ended = true;
    this.pause();
    document.removeEventListener('visibilitychange', this.onVisibility);
  }
}
