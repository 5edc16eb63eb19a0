vcl 4.1;

# A real hit: the backend, a bare loop, is asked once for each answer.
backend bare {
    .host = "127.0.0.1";
    .port = "@backend@";
}

sub vcl_backend_response {
    set beresp.ttl = 1d;
}
