// The page: asks for /stats each second while it is seen, and shows what came. A perfd that does not answer is asked
// again; one that was started anew begins anew here, too.

const EACH_MS = 1000;
const ANSWER_MS = 5000;
const LONGEST_SECONDS = 10; // between two answers that make a point; what is longer, /history fills
const RECENT_SECONDS = 10;
const RESTARTED_MS = 60000; // for which it is told
const STILL_MS = 5000; // without a new point, until the charts move on by themselves

const DARK = matchMedia('(prefers-color-scheme: dark)');

const byId = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.timeline = new Timeline();
    this.recent = []; // answers of the last ten seconds, all of one life
    this.looked = { route: '' };
    this.seconds = 300;
    this.names = [];
    this.paused = false;
    this.ahead = 0; // ms by which this machine's clock is ahead of perfd's
    this.tiles = new Tiles(byId('tiles'));
    this.routes = routesTable((route) => this.choose(this.looked.route === route ? '' : route));
    this.workers = workersTable();
    this.slow = slowTable();
    this.events = eventsTable();
    this.cards = CHARTS.map((chart) => chart.heat ? new HeatCard(chart, this) : new Card(chart, this));
    byId('cards').append(...this.cards.map((card) => card.root));
    this.listen();
    this.tiles.show(null);
  }

  listen() {
    byId('route').addEventListener('change', (event) => this.choose(event.target.value));
    byId('range').addEventListener('change', (event) => { this.seconds = Number(event.target.value); this.draw(); });
    byId('pause').addEventListener('click', () => this.pause(!this.paused));
    byId('cursor').addEventListener('input', (event) => this.moveTo(Number(event.target.value)));
    byId('theme').addEventListener('change', (event) => this.dress(event.target.value));
    DARK.addEventListener('change', () => this.dress(byId('theme').value));
    document.addEventListener('visibilitychange', () => this.turn());
    let resized;
    addEventListener('resize', () => { clearTimeout(resized); resized = setTimeout(() => this.draw(), 150); });
    this.dress(remembered('theme'));
  }

  // ---- asking

  async start() {
    await this.fill();
    this.turn();
  }

  turn() {
    clearTimeout(this.timer);
    this.turns = (this.turns || 0) + 1;
    if (!this.paused && !document.hidden) this.run(this.turns);
  }

  // One run asks at a time: the one that began last.
  async run(turn) {
    const began = performance.now();
    try {
      await this.poll();
    } finally {
      if (turn === this.turns) this.timer = setTimeout(() => this.run(turn), Math.max(100, EACH_MS - (performance.now() - began)));
    }
  }

  async ask(path) {
    const answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) throw new Error(`it answers ${answer.status}`);
    return answer.json();
  }

  // What perfd remembers; the page goes on without it.
  async fill() {
    try {
      this.timeline.fill(await this.ask('history'));
    } catch (error) {
      this.say('lost', 'perfd does not answer; asked again each second');
    }
  }

  async poll() {
    let stats;
    try {
      stats = await this.ask('stats');
    } catch (error) {
      this.lost = this.lost || Date.now();
      this.say('lost', `perfd does not answer since ${format.time(this.lost)}; asked again each second`);
      this.tiles.show(null);
      this.draw();
      return;
    }
    await this.take(stats);
  }

  async take(stats) {
    const before = this.recent[this.recent.length - 1];
    if (before && before.since_us !== stats.since_us) {
      this.restarted = stats.since_us / 1000;
      this.recent = [];
    } else if (before && stats.at_us < before.at_us) {
      this.recent = []; // its clock was set back
      this.timeline.turnBack(stats.at_us / 1000);
    } else if (before && stats.at_us - before.at_us > LONGEST_SECONDS * 1e6) {
      await this.fill();
    }
    this.lost = 0;
    this.ahead = Date.now() - stats.at_us / 1000;
    if (before && before.since_us === stats.since_us) {
      const figures = between(before, stats, LONGEST_SECONDS);
      if (figures) this.timeline.add(figures);
    }
    this.recent.push(stats);
    while (stats.at_us - this.recent[0].at_us > (RECENT_SECONDS + 0.5) * 1e6) this.recent.shift();
    this.show(stats);
  }

  now() {
    return Date.now() - this.ahead;
  }

  // ---- showing

  say(state, text) {
    byId('status').dataset.state = state;
    setText(byId('status'), text);
  }

  sayHowItIs() {
    if (this.paused) this.say('paused', 'Paused');
    else if (this.restarted && this.now() - this.restarted < RESTARTED_MS)
      this.say('restarted', `perfd was started again at ${format.time(this.restarted)}; figures begin anew`);
    else this.say('live', 'Live');
  }

  show(stats) {
    const first = this.recent[0];
    const figures = first === stats ? null : between(first, stats, RECENT_SECONDS + 1);
    const now = stats.at_us / 1000;
    const ageOf = (us) => formatAge(Math.max(0, now - us / 1000) / 1000);
    document.title = `perfd ${location.host}`;
    setText(byId('identity'), `${stats.version} on ${location.host}, process ${stats.master_pid}, up for ${ageOf(stats.since_us)}`);
    this.sayHowItIs();
    this.nameRoutes(stats);
    this.tiles.show(figures);
    this.routes.show(stats.routes.filter((route) => route.route !== '(other)' || route.requests > 0).map((route) => this.routeRow(route.route, figures)));
    this.workers.show((figures ? figures.workers : workersBetween(stats, stats, 1).map((worker) => ({ ...worker, cpu: NaN })))
      .map((worker) => ({ ...worker, key: worker.slot, age: ageOf(worker.started_us) })));
    this.slow.show(stats.slow.map((query) => ({ ...query, key: query.number, age: ageOf(query.at_us) })));
    this.events.show(stats.events.map((event) => ({ ...event, key: event.number, age: ageOf(event.at_us) })));
    this.draw();
  }

  routeRow(name, figures) {
    const one = figures && figures.routes.get(name) || new RouteFigures(1);
    return { key: name, figures: one, share: figures ? ratio(one.requests, figures.routed) || 0 : 0 };
  }

  nameRoutes(stats) {
    const names = stats.routes.map((route) => route.route);
    if (names.length === this.names.length && names.every((name, i) => name === this.names[i])) return;
    this.names = names;
    const options = names.map((name) => element('option', { value: name }, name));
    byId('route').replaceChildren(element('option', { value: '' }, 'all routes'), ...options);
    this.choose(names.includes(this.looked.route) ? this.looked.route : '');
  }

  choose(route) {
    this.looked.route = route;
    byId('route').value = route;
    this.draw();
  }

  draw() {
    const last = this.timeline.last;
    if (!last) return;
    const end = this.paused || this.now() - last.at < STILL_MS ? last.at : this.now();
    const window = [end - this.seconds * 1000, end];
    this.points = this.timeline.since(window[0] - 1000);
    for (const card of this.cards) card.draw(this.points, this.looked, this.names, window);
    byId('cursor').max = Math.max(1, this.points.length - 1);
    this.lookAt(this.moment === undefined ? null : this.moment);
  }

  // ---- the moment that is looked at

  lookAt(at) {
    this.moment = at;
    let index = -1;
    if (at !== null && this.points)
      this.points.forEach((point, i) => {
        if (!point.gap && (index < 0 || Math.abs(point.at - at) < Math.abs(this.points[index].at - at))) index = i;
      });
    for (const card of this.cards) card.select(index);
    const cursor = byId('cursor');
    cursor.value = index < 0 ? cursor.max : index;
    const text = index < 0 ? 'now' : format.time(this.points[index].at);
    setText(byId('moment'), text);
    cursor.setAttribute('aria-valuetext', text);
  }

  moveTo(index) {
    const atEnd = !this.points || index >= this.points.length - 1;
    this.lookAt(atEnd ? null : this.points[index].at);
  }

  // ---- settings

  pause(paused) {
    this.paused = paused;
    byId('pause').setAttribute('aria-pressed', String(paused));
    setText(byId('pause'), paused ? 'Go on' : 'Pause');
    this.sayHowItIs();
    this.turn();
  }

  dress(theme) {
    const known = ['light', 'dark'].includes(theme) ? theme : '';
    byId('theme').value = known;
    document.documentElement.dataset.theme = known || (DARK.matches ? 'dark' : 'light');
    remember('theme', known);
    for (const card of this.cards) card.recolour();
    this.draw();
  }
}

// A browser may forbid it.
function remembered(name) {
  try {
    return localStorage.getItem(`perfd-${name}`) || '';
  } catch (error) {
    return '';
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`perfd-${name}`, value);
  } catch (error) {
    // it is chosen anew the next time
  }
}

new Page().start();
