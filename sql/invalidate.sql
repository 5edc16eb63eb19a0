-- Changes that anybody makes to a table drop what perfd has cached of it, on every machine:
--
--     SELECT perfd_watch('users', 'users', 'user:{id}');    -- the table, and the tags of its routes
--     SELECT perfd_unwatch('users');
--
-- {id} is a column's value, as it is the parameter's in perfd.conf; a NULL is an empty text there as here. Each statement
-- that changes rows notifies the channel perfd of the tags of these rows, old and new, when it commits. Above 10,000 rows,
-- after TRUNCATE, or with a key too long for a notification, it names the tags without {} and, if there are others, `*`,
-- which drops everything. Whatever goes wrong here, the statement itself goes on.
--
-- A partitioned or inherited table is watched with all that it consists of; after another partition was made, call
-- perfd_watch() again, or what is written to it by its own name is not noticed. Calling it again replaces the tags.
-- A statement that changes one row takes about 0.15 ms longer. Transactions that notify commit one after the other, and
-- cannot be prepared (PREPARE TRANSACTION).
--
-- Run this in the database, as often as you like; perfd_watch() needs the owner of the table. PostgreSQL 12 and later.

-- The trigger's function. Its arguments: the tags without {}, as a notification writes them; and the query that gives
-- those with {} of one table's rows, whose name stands as %1$s in it, or '' if there are none.
-- A payload of 8,000 bytes or more would make the statement fail.
CREATE OR REPLACE FUNCTION perfd_notify() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET IntervalStyle = 'postgres'
SET bytea_output = 'hex' SET extra_float_digits = 1
AS $$
DECLARE
    rows_max    CONSTANT int := 10000;
    payload_max CONSTANT int := 7900;
    table_tags  CONSTANT text := TG_ARGV[0];
    row_tags    CONSTANT text := TG_ARGV[1];
    everything  CONSTANT text := concat_ws(',', nullif(table_tags, ''), CASE WHEN row_tags <> '' THEN '*' END);
    payload     text := table_tags;
    row_count   bigint;
    tag         text;
    query       text;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('perfd', everything);
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT count(*) INTO row_count FROM (SELECT FROM perfd_new LIMIT rows_max + 1) AS r;
    ELSE
        SELECT count(*) INTO row_count FROM (SELECT FROM perfd_old LIMIT rows_max + 1) AS r;
    END IF;
    IF row_count = 0 THEN
        RETURN NULL;
    ELSIF row_count > rows_max OR row_tags = '' THEN
        PERFORM pg_notify('perfd', everything);
        RETURN NULL;
    END IF;
    query := CASE TG_OP
        WHEN 'INSERT' THEN format(row_tags, 'perfd_new')
        WHEN 'DELETE' THEN format(row_tags, 'perfd_old')
        ELSE format(row_tags, 'perfd_old') || ' UNION ' || format(row_tags, 'perfd_new')
    END;
    FOR tag IN EXECUTE query LOOP
        IF octet_length(tag) > payload_max THEN
            payload := everything;
            EXIT;
        ELSIF payload = '' THEN
            payload := tag;
        ELSIF octet_length(payload) + 1 + octet_length(tag) > payload_max THEN
            PERFORM pg_notify('perfd', payload);
            payload := tag;
        ELSE
            payload := payload || ',' || tag;
        END IF;
    END LOOP;
    PERFORM pg_notify('perfd', payload);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'perfd: %.% is not watched as it should be, everything is dropped from the cache: %',
        TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLERRM USING HINT = 'call perfd_watch() for it again';
    BEGIN
        PERFORM pg_notify('perfd', '*');
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'perfd cannot be notified: %', SQLERRM;
    END;
    RETURN NULL;
END
$$;

-- An expression for the tag's text of a row r, as a notification writes it: a comma and a backslash of a value have a
-- backslash in front. perfd writes true as t.
CREATE OR REPLACE FUNCTION perfd_tag_expression(watched regclass, tag text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
    rest       text := tag;
    parts      text[];
    value_type regtype;
    value      text;
    terms      text[] := '{}';
BEGIN
    LOOP
        parts := regexp_match(rest, '^([^{}]*)\{([^{}]+)\}(.*)$');
        EXIT WHEN parts IS NULL;
        SELECT atttypid INTO value_type FROM pg_attribute
        WHERE attrelid = watched AND attname = parts[2] AND attnum > 0 AND NOT attisdropped;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'perfd_watch: the tag % names a column that % does not have', tag, watched;
        END IF;
        value := format('r.%I', parts[2]);
        value := CASE WHEN value_type = 'boolean'::regtype
            THEN format('CASE %1$s WHEN true THEN %2$L WHEN false THEN %3$L END', value, 't', 'f')
            ELSE value || '::text' END;
        IF parts[1] <> '' THEN
            terms := terms || quote_literal(replace(parts[1], '\', '\\'));
        END IF;
        terms := terms || format('coalesce(replace(replace(%s, %L, %L), %L, %L), %L)', value, '\', '\\', ',', '\,', '');
        rest := parts[3];
    END LOOP;
    IF rest ~ '[{}]' THEN
        RAISE EXCEPTION 'perfd_watch: the tag % names a column as {column}', tag;
    END IF;
    IF rest <> '' THEN
        terms := terms || quote_literal(replace(rest, '\', '\\'));
    END IF;
    RETURN array_to_string(terms, ' || ');
END
$$;

-- The table, its partitions and whatever inherits from it, as far as triggers can see their rows.
CREATE OR REPLACE FUNCTION perfd_family(watched regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE family AS (
        SELECT watched::oid AS member
        UNION
        SELECT inhrelid FROM pg_inherits JOIN family ON inhparent = member
    )
    SELECT member::regclass FROM family JOIN pg_class ON pg_class.oid = member
    WHERE relkind IN ('r', 'p') OR member = watched
$$;

CREATE OR REPLACE FUNCTION perfd_unwatch(watched regclass) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT member, tgname FROM perfd_family(watched) AS member
        JOIN pg_catalog.pg_trigger ON tgrelid = member AND NOT tgisinternal
        WHERE tgname IN ('perfd_watch_insert', 'perfd_watch_update', 'perfd_watch_delete', 'perfd_watch_truncate')
    LOOP
        EXECUTE pg_catalog.format('DROP TRIGGER %I ON %s', found.tgname, found.member);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION perfd_watch(watched regclass, VARIADIC tags text[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    tag        text;
    table_tags text[] := '{}';
    terms      text[] := '{}';
    row_tags   text := '';
    member     regclass;
    event      record;
BEGIN
    FOREACH tag IN ARRAY tags LOOP
        IF tag IS NULL OR tag = '' OR octet_length(tag) > 200 OR regexp_replace(tag, '\{[^{}]*\}', '', 'g') ~ '[[:cntrl:][:space:],]' THEN
            RAISE EXCEPTION 'perfd_watch: a tag has 1 to 200 bytes and no white space or comma: %', coalesce(tag, 'NULL');
        ELSIF tag ~ '[{}]' THEN
            terms := terms || ('(' || perfd_tag_expression(watched, tag) || ')');
        ELSE
            table_tags := table_tags || replace(tag, '\', '\\');
        END IF;
    END LOOP;
    IF octet_length(array_to_string(table_tags, ',')) > 7000 THEN
        RAISE EXCEPTION 'perfd_watch: all tags without {} together have 7,000 bytes at most';
    END IF;
    IF terms <> '{}' THEN
        row_tags := 'SELECT DISTINCT t.tag FROM %1$s AS r, LATERAL (VALUES '
            || replace(array_to_string(terms, ', '), '%', '%%') || ') AS t(tag)';
    END IF;
    PERFORM perfd_unwatch(watched);
    FOR member IN SELECT * FROM perfd_family(watched) LOOP
        FOR event IN VALUES ('insert', 'REFERENCING NEW TABLE AS perfd_new'),
                            ('update', 'REFERENCING OLD TABLE AS perfd_old NEW TABLE AS perfd_new'),
                            ('delete', 'REFERENCING OLD TABLE AS perfd_old'),
                            ('truncate', '')
        LOOP
            EXECUTE format('CREATE TRIGGER perfd_watch_%1$s AFTER %1$s ON %2$s %3$s FOR EACH STATEMENT '
                'EXECUTE FUNCTION perfd_notify(%4$L, %5$L)', event.column1, member, event.column2,
                array_to_string(table_tags, ','), row_tags);
            -- Also where session_replication_role leaves other triggers out.
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER perfd_watch_%s', member, event.column1);
        END LOOP;
    END LOOP;
    PERFORM pg_notify('perfd', '*'); -- what was cached before may have missed a change
END
$$;
