// The load test of the backend guide, on the example API, for k6 (https://k6.io):
//
//   k6 run scripts/load-test.js
//   k6 run -e BASE_URL=http://127.0.0.1:8080 -e SCALE=10 -e DURATION_SCALE=0.0625 scripts/load-test.js   # one minute
//
// BASE_URL        of the API (http://127.0.0.1:8080)
// SCALE           of the data, as given to scripts/run --scale (1)
// DURATION_SCALE  1 is the full 16 minutes: 2 up to 100 users, 5 at 100, 2 up to 200, 5 at 200, 2 down
//
// Users are chosen as people choose: few are looked at often, most hardly ever.
import http from 'k6/http';
import { check, sleep } from 'k6';

const BASE_URL = __ENV.BASE_URL || 'http://127.0.0.1:8080';
const USERS = 10000 * Number(__ENV.SCALE || 1);
const DURATION_SCALE = Number(__ENV.DURATION_SCALE || 1);

const minutes = (n) => `${Math.max(1, Math.round(n * 60 * DURATION_SCALE))}s`;

export const options = {
    stages: [
        { duration: minutes(2), target: 100 },
        { duration: minutes(5), target: 100 },
        { duration: minutes(2), target: 200 },
        { duration: minutes(5), target: 200 },
        { duration: minutes(2), target: 0 },
    ],
    thresholds: {
        http_req_duration: ['p(95)<500'],
        http_req_failed: ['rate<0.01'],
        checks: ['rate>0.99'],
    },
};

// Log-uniform: as likely below 10 as from 1,000 to 10,000.
const someUser = () => Math.min(USERS, Math.ceil(Math.exp(Math.random() * Math.log(USERS))));

const ok = (response) => check(response, { 'status is 200': (r) => r.status === 200 });
const get = (name, path) => ok(http.get(BASE_URL + path, { tags: { name } }));
const send = (method, name, path, body, status) =>
    check(http.request(method, BASE_URL + path, JSON.stringify(body),
                       { headers: { 'Content-Type': 'application/json' }, tags: { name } }),
          { 'written': (r) => r.status === status });

const actions = [
    [40, () => get('GET /api/users/{id}', `/api/users/${someUser()}`)],
    [20, () => get('GET /api/users/{id}/posts', `/api/users/${someUser()}/posts?limit=20`)],
    [12, () => get('GET /api/posts', '/api/posts?limit=20')],
    [12, () => get('GET /api/users', `/api/users?limit=50&offset=${50 * Math.floor(Math.random() * 20)}`)],
    [6, () => get('GET /api/users-with-posts', '/api/users-with-posts?limit=20')],
    [5, () => send('PATCH', 'PATCH /api/users/{id}', `/api/users/${someUser()}`, { bio: `seen at ${Date.now()}` }, 200)],
    [4, () => send('POST', 'POST /api/posts', '/api/posts',
                   { user_id: someUser(), title: 'From the load test', body: 'A post of the load test. '.repeat(8) }, 201)],
    [1, () => send('POST', 'POST /api/users', '/api/users',
                   { email: `load-${__VU}-${__ITER}-${Date.now()}@example.com`, name: 'Load Test' }, 201)],
];
const total = actions.reduce((sum, [weight]) => sum + weight, 0);

export default function () {
    let left = Math.random() * total;
    for (const [weight, act] of actions) {
        left -= weight;
        if (left < 0) {
            act();
            break;
        }
    }
    sleep(0.1 + Math.random() * 0.9);
}
