// fastify and pg as their manuals show them: fastify.js PORT URL POOL. Statements are named, so pg prepares them.
const fastify = require("fastify")();
const { Pool } = require("pg");
const [, , port, url, max] = process.argv;
const pool = new Pool({ connectionString: url, max: Number(max) });
const columns = "id, user_id, title, body, created_at";

fastify.get("/user/:id", async (request, reply) => {
    const { rows } = await pool.query({
        name: "user", text: "SELECT id, email, name, created_at FROM users WHERE id = $1", values: [request.params.id],
    });
    return rows.length ? rows[0] : reply.code(404).send();
});
for (const n of [20, 500])
    fastify.get(`/posts${n}/:id`, async (request) => {
        const text = `SELECT ${columns} FROM posts WHERE id >= $1 AND id < $1 + ${n} ORDER BY id`;
        return (await pool.query({ name: `posts${n}`, text, values: [request.params.id] })).rows;
    });
fastify.listen({ port: Number(port), host: "127.0.0.1" });
