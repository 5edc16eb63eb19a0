-- What the seed writes with: names, and 400 pages of 80 sentences each. Everything lives in the session.
SELECT setseed(0.42);

CREATE TEMP TABLE seed_names AS SELECT
    string_to_array('Ada Alan Alice Amara Ana Anders Aoife Björn Chen Chloé Daniel Elena Emil Fatima Grace Hana Hugo Ines
Ivan Jürgen Kenji Lars Leïla Lucia Łukasz Maria Mateo Mei Nadia Noah Olga Omar Paul Priya Quinn Ravi Rosa Sanjay Siân
Sofia Søren Tariq Uma Victor Wei Xavier Yara Zoë', ' ') AS first,
    string_to_array('Adeyemi Andersen Bauer Brown Chen Costa Díaz Dubois Eriksson Fischer García Haddad Hansen Ito
Ivanova Johnson Jónsdóttir Kim Kowalski Kumar Larsen Lee López Martin Meyer Müller Nguyen Novák O''Brien Okafor Patel
Pereira Popescu Rossi Sato Schmidt Silva Singh Smith Tanaka Taylor Torres Virtanen Wang Weber Wright Yılmaz Zhang 王', ' ') AS last;
UPDATE seed_names SET first = string_to_array(replace(array_to_string(first, ' '), E'\n', ' '), ' '),
                      last = string_to_array(replace(array_to_string(last, ' '), E'\n', ' '), ' ');

-- Pages are stored plain so that reading a slice decompresses nothing.
CREATE TEMP TABLE seed_pages (page int PRIMARY KEY, sentences text[]);
ALTER TABLE seed_pages ALTER sentences SET STORAGE PLAIN;
INSERT INTO seed_pages
WITH words AS (
    SELECT regexp_split_to_array('the of and a to in is was that it for on with as by at from this have or one had not but
what all were when we there can an your which their said if do will each about how up out them then she many some so
these would other into has more her two like him see time could no make than first been its who now people my made over
did down only way find use may water long little very after words called just where most know get through back much
before go good new write our used me man too any day same right look think also around another came come work three
word must because does part even place well such here take why things help put years different away again off went old
number great tell men say small every found still between name should home big give air line set own under read last
never us left end along while might next sound below saw something thought both few those always looked show large
often together asked house world going want school important until form food keep children feet land side without boy
once animals life enough took sometimes four head above kind began almost live page got earth need far hand high year
mother light parts country father let night following picture being study second eyes soon times story boys since
white days ever paper hard near sentence better best across during today others however sure means knew try told young
miles sun ways thing whole hear example heard several change answer room sea against top turned learn point city play
toward five using himself usually money seen car morning database query index café naïve résumé', '\s+') AS w
), sentences AS (
    SELECT page, n, (SELECT string_agg(w[1 + floor(random() * random() * array_length(w, 1))::int + 0 * i], ' ') -- i: the inner query's
                     FROM generate_series(1, 4 + (page * 31 + n * 17) % 13) AS i) AS text
    FROM words, generate_series(0, 399) AS page, generate_series(1, 80) AS n
)
SELECT page, array_agg(upper(left(text, 1)) || substr(text, 2) || '.' ORDER BY n) FROM sentences GROUP BY page;
ANALYZE seed_pages;
