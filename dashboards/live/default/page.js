// The page of a domain without one of its own: the newest rows of whatever metric is opened, and what every page has.

import { Page } from '../shared/page.js';

const page = new Page();
page.start({
  currencies: () => page.explorer.currencies(),
  jobs: [{ run: () => page.loadLeading() }],
});
