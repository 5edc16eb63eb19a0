// Runs a scenario of perfctl load in k6 (https://k6.io): the load test of the backend guide, on the example API, or another.
//
//   k6 run scripts/load-test.js
//   k6 run -e BASE_URL=http://127.0.0.1:8080 -e SCALE=10 -e DURATION_SCALE=0.0625 scripts/load-test.js   # one minute
//
// SCENARIO        the file, from this one's folder (load-test.json)
// BASE_URL        of the API (the scenario's)
// SCALE           of the data, as given to scripts/run --scale (1)
// DURATION_SCALE  of the stages (1: with load-test.json 2 minutes up to 100 users, 5 at 100, 2 up to 200, 5 at 200, 2 down)
// VUS             for a scenario with a rate: how many users k6 keeps for it (1000)
//
// perfctl(1) tells what may stand in a scenario.
import exec from 'k6/execution';
import http from 'k6/http';
import { check, sleep } from 'k6';

const SCENARIO = JSON.parse(open(__ENV.SCENARIO || './load-test.json'));
const BASE_URL = (__ENV.BASE_URL || SCENARIO.base_url).replace(/\/+$/, '');
const SCALE = Number(__ENV.SCALE || 1);
const DURATION_SCALE = Number(__ENV.DURATION_SCALE || 1);

const MS = { ms: 1, s: 1000, m: 60 * 1000, h: 3600 * 1000, d: 86400 * 1000 };
const ms = (text) => {
    const [, number, unit] = /^(\d+)(ms|s|m|h|d)?$/.exec(text);
    return number * MS[unit || 'ms'];
};
const THINK = SCENARIO.users && SCENARIO.think_time ? SCENARIO.think_time.map(ms) : [0, 0];
const TIMEOUT = SCENARIO.timeout ? ms(SCENARIO.timeout) : 60000;
const stages = (SCENARIO.users || SCENARIO.rate)
    .map(({ duration, target }) => ({ duration: `${Math.round(ms(duration) * DURATION_SCALE)}ms`, target }));

// What was sent counts, however long it takes: k6 breaks it off after 30 s else.
const gracefulStop = `${TIMEOUT + 1000}ms`;

// k6 knows whole arrivals a second only: a thousand seconds hold a thousand times as many.
const plan = SCENARIO.users
    ? { executor: 'ramping-vus', startVUs: 0, stages, gracefulStop, gracefulRampDown: gracefulStop }
    : {
        executor: 'ramping-arrival-rate', startRate: 0, timeUnit: '1000s', preAllocatedVUs: Number(__ENV.VUS || 1000),
        gracefulStop,
        stages: stages.map(({ duration, target }) => ({ duration, target: Math.round(1000 * target) })),
    };

export const options = { scenarios: { load: plan }, thresholds: SCENARIO.thresholds || {} };

// A draw is one for all places of a request at which the variable stands.
const draw = ({ kind, from, to, step = 1, scales }) => {
    const most = scales ? to * SCALE : to;
    switch (kind) {
        case 'uniform':
            return from + step * Math.floor(Math.random() * (Math.floor((most - from) / step) + 1));
        case 'log_uniform': // as likely below 10 as from 1,000 to 10,000
            return Math.min(most, Math.max(from, Math.floor(from * Math.exp(Math.random() * Math.log((most + 1) / from)))));
        case 'counter':
            return from + step * exec.scenario.iterationInTest;
        case 'time_ms':
            return Date.now();
    }
    throw new Error(`${kind} is no kind of a variable`);
};

const filled = (text, drawn) => text.replace(/(?<!\\)"\{([a-z_]+)\}"|\{([a-z_]+)\}/g, (_, alone, inside) => {
    const name = alone || inside;
    if (drawn[name] === undefined) {
        drawn[name] = draw(SCENARIO.variables[name]);
    }
    return drawn[name];
});

const someRequest = () => {
    let left = Math.random() * SCENARIO.requests.reduce((sum, { weight = 1 }) => sum + weight, 0);
    return SCENARIO.requests.find(({ weight = 1 }) => (left -= weight) < 0) || SCENARIO.requests[0];
};

const bodyOf = ({ json, body }, drawn) => {
    if (json !== undefined) {
        return filled(JSON.stringify(json), drawn);
    }
    return body === undefined ? null : filled(body, drawn);
};

const headersOf = ({ json, headers }, drawn) => {
    const all = Object.assign(json === undefined ? {} : { 'Content-Type': 'application/json' }, SCENARIO.headers, headers);
    return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, filled(value, drawn)]));
};

export default function () {
    const request = someRequest();
    const drawn = {};
    const expected = [].concat(request.status || 200);
    const response = http.request(request.method || 'GET', BASE_URL + filled(request.path, drawn), bodyOf(request, drawn), {
        headers: headersOf(request, drawn), tags: { name: request.name }, redirects: 0,
        timeout: TIMEOUT,
    });
    check(response, { 'status is expected': (r) => expected.includes(r.status) }, { name: request.name });
    if (THINK[1] > 0) {
        sleep((THINK[0] + Math.random() * (THINK[1] - THINK[0])) / 1000);
    }
}
