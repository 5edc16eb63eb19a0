-- wrk's figures as one line of JSON. Without a request() of its own the script costs nothing while requests run.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format('RESULT {"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "errors": {"connect": %d, ' ..
        '"read": %d, "write": %d, "timeout": %d, "status": %d}}\n', summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), errors.connect, errors.read, errors.write, errors.timeout,
        errors.status))
end
