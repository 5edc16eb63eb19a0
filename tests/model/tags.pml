/* Tags by sequence numbers: an entry that carries two tags, and a database of versions. A fetch reads born_seq and,
 * some time later, one version (its snapshot). An invalidation is: commit, number, raise, acknowledge.
 *
 * Claim (assertion): a lookup that begins after an invalidation was acknowledged serves nothing older than its commit.
 *
 * Both tags are of one group, whose number is raised before the tag's; a lookup whose entry was born after the group was
 * raised looks at no tag.
 *
 * Who invalidates: WRITERS, two of this machine, one tag each, at once. FOREIGN: another's commits, of which the keeper
 * hears only while it listens; it may lose its connection, listens again, then raises the epoch, and what had been
 * committed when it listened again counts as acknowledged. REDIS: values and the tags' versions in a second level; an
 * invalidation raises the version there first. An entry is published and read by one word, so in one step (pins.pml).
 *
 * DIES: writers that die between their commit and their answer; the master then raises the epoch, and what they had
 * committed counts as acknowledged. FAILS: versions in Redis that a writer could not raise. Redis is owed for both: until
 * the debt is paid by a new version of the whole namespace nobody reads from it or stores there.
 *
 * Switches: WRITERS, FOREIGN, REDIS, FETCHERS, ROUNDS of each fetcher, WRITES of each writer, DIES, FAILS, SOLO (one writer).
 * Mutants:
 *   PLAINSTORE  a tag is raised by a store, no maximum (WRITERS, two writes, SAMETAG: both writers raise tag 0)
 *   BORNLATE    born_seq is read after the snapshot
 *   EPOCHFIRST  the keeper raises the epoch before it listens again (FOREIGN)
 *   INVFIRST    invalidated before the commit (WRITERS)
 *   LOCALFIRST  the version in Redis is raised after the tag here (REDIS)
 *   REDISLATE   the versions in Redis are read after the snapshot (REDIS)
 *   REPLICA     a fetch reads a replica that lags
 *   PLAINGROUP  so is the group's number (WRITERS)
 *   NOGROUP     the group's number is not raised (WRITERS)
 *   ONETAG      a lookup compares only the first tag (WRITERS)
 *   NOEPOCH     a lookup does not compare the epoch (FOREIGN)
 *   NODOUBT     nothing is raised for a writer that died (DIES)
 *   OWELATE     the master raises the epoch before Redis is owed (DIES, REDIS)
 *   OWENOT      nothing is owed for a version that was not raised (FAILS, REDIS)
 *   PAYFIRST    the debt is marked as paid before the namespace has its version (DIES, REDIS)
 *   DEBTFIRST   a fetch looks for a debt before it reads born_seq (DIES, REDIS) */
#ifndef WRITERS
#define WRITERS 0
#endif
#ifndef FOREIGN
#define FOREIGN 0
#endif
#ifndef FETCHERS
#define FETCHERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef WRITES
#define WRITES 1
#endif
#ifndef DIES
#define DIES 0
#endif
#ifndef FAILS
#define FAILS 0
#endif
#ifdef REDIS
#define DEBTS (DIES + FAILS > 0)
#else
#define DEBTS 0
#endif
#ifdef SAMETAG
#define TAG_OF(w) 0
#else
#define TAG_OF(w) (w)
#endif

byte db = 1, replica_db = 1;
byte global_seq, tag[2], group, epoch;
bool cached;
byte cached_version, cached_born;
byte redis_version[2];
bool redis_has;
byte redis_value, redis_seen[2];
byte owed, paid, space, redis_space; /* debts; the namespace's version, and the value's */
byte fails, deaths;
bool writing[2], dead[2];

/* The keeper's connection. */
bool listening = true;
byte told[3], told_count, foreign_commits, drops;

byte acked = 1; /* what no process knows: the newest version whose invalidation was acknowledged */

inline raise(word, to)
{
    atomic {
        if
        :: word < to -> word = to
        :: else
        fi
    }
}

inline number()
{
    atomic { global_seq++; s = global_seq }
}

inline acknowledge(version)
{
    raise(acked, version)
}

inline invalidate(t)
{
#if defined(REDIS) && !defined(LOCALFIRST)
    if
    :: redis_version[t] = redis_version[t] + 1
#if FAILS > 0
    :: atomic { fails < FAILS -> fails++ };
#ifndef OWENOT
       owed++
#endif
#endif
    fi;
#endif
    number();
#if defined(PLAINGROUP)
    group = s;
#elif !defined(NOGROUP)
    raise(group, s);
#endif
#ifdef PLAINSTORE
    tag[t] = s;
#else
    raise(tag[t], s);
#endif
#if defined(REDIS) && defined(LOCALFIRST)
    redis_version[t] = redis_version[t] + 1;
#endif
    skip
}

#if WRITERS > 0
/* The master's, after waitpid. */
inline doubt()
{
#ifndef NODOUBT
#if DEBTS && !defined(OWELATE)
    owed++;
#endif
    number();
    raise(epoch, s);
#if DEBTS && defined(OWELATE)
    owed++;
#endif
#endif
    skip
}

proctype writer(byte t)
{
    byte s, version, n;
    do
    :: n == WRITES -> break
    :: atomic { n < WRITES -> n++; s = 0; version = 0 };
#ifdef INVFIRST
       invalidate(t);
       atomic { db++; version = db };
#elif DIES > 0
       {
           atomic { db++; version = db; writing[t] = true };
           invalidate(t);
           writing[t] = false
       } unless { dead[t] };
       if
       :: dead[t] -> doubt(); writing[t] = false
       :: else
       fi;
#else
       atomic { db++; version = db };
       invalidate(t);
#endif
       acknowledge(version)
    od
}

#if DIES > 0
proctype killer()
{
end:
    do
    :: atomic { deaths < DIES && writing[0] && !dead[0] -> deaths++; dead[0] = true }
    :: atomic { deaths < DIES && writing[1] && !dead[1] -> deaths++; dead[1] = true }
    od
}
#endif

#if DEBTS
proctype payer()
{
    byte debt;
end:
    do
    :: atomic { owed > paid -> debt = owed };
#ifdef PAYFIRST
       raise(paid, debt);
#endif
       space++;
       raise(paid, debt);
       debt = 0
    od
}
#endif
#endif

#if FOREIGN > 0
proctype foreigner()
{
end:
    do
    :: atomic {
           foreign_commits < 2 ->
           foreign_commits++;
           db++;
           if
           :: listening -> told[told_count] = db; told_count++
           :: else
           fi
       }
    od
}

inline listen()
{
    atomic { listening = true; version = db }
}

proctype keeper()
{
    byte s, version;
end:
    do
    :: atomic { told_count > 0 -> version = told[0]; told[0] = told[1]; told[1] = told[2]; told[2] = 0; told_count-- };
       invalidate(0);
       acknowledge(version);
       atomic { s = 0; version = 0 }
    :: atomic { drops < 1 -> drops++; listening = false; told_count = 0; told[0] = 0; told[1] = 0; told[2] = 0 };
#ifndef EPOCHFIRST
       listen();
#endif
#ifdef REDIS
       atomic { redis_version[0] = redis_version[0] + 1; redis_version[1] = redis_version[1] + 1 };
#endif
       number();
       raise(epoch, s);
#ifdef EPOCHFIRST
       listen();
#endif
       acknowledge(version);
       atomic { s = 0; version = 0 }
    od
}
#endif

#ifdef REPLICA
proctype replica()
{
end:
    do
    :: atomic { replica_db < db -> replica_db++ }
    od
}
#define SNAPSHOT replica_db
#else
#define SNAPSHOT db
#endif

proctype fetcher()
{
    byte born, version, n, seen[2], seen_space;
    bool off;
    do
    :: n == ROUNDS -> break
    :: atomic { n < ROUNDS -> n++ };
#ifdef DEBTFIRST
       off = owed > paid;
#endif
#ifndef BORNLATE
       born = global_seq;
#endif
#ifdef REDIS
#if DEBTS && !defined(DEBTFIRST)
       off = owed > paid;
#endif
       atomic { seen[0] = redis_version[0]; seen[1] = redis_version[1]; seen_space = space }; /* one MGET */
       if
       :: atomic {
              !off && redis_has && redis_seen[0] == seen[0] && redis_seen[1] == seen[1] && redis_space == seen_space ->
              version = redis_value;
              goto publish
          }
       :: else
       fi;
#endif
       version = SNAPSHOT;
#ifdef REDIS
#ifdef REDISLATE
       atomic { seen[0] = redis_version[0]; seen[1] = redis_version[1] };
#endif
       if
       :: atomic {
              !off && owed == paid ->
              redis_has = true; redis_value = version;
              redis_seen[0] = seen[0]; redis_seen[1] = seen[1]; redis_space = seen_space
          }
       :: atomic { off || owed != paid -> skip }
       fi;
#endif
    publish:
#ifdef BORNLATE
       born = global_seq;
#endif
       atomic {
           cached = true; cached_version = version; cached_born = born;
           born = 0; version = 0; seen[0] = 0; seen[1] = 0; seen_space = 0; off = false
       }
    od
}

proctype reader()
{
    byte began, version, born;
end:
    do
    :: atomic { cached -> began = acked };
       atomic { version = cached_version; born = cached_born };
       if
       :: group > born ->
          if
          :: tag[0] > born -> goto miss
          :: else
          fi;
#ifndef ONETAG
          if
          :: tag[1] > born -> goto miss
          :: else
          fi;
#endif
          skip
       :: else
       fi;
#ifndef NOEPOCH
       if
       :: epoch > born -> goto miss
       :: else
       fi;
#endif
       assert(version >= began);
    miss:
       atomic { began = 0; version = 0; born = 0 }
    od
}

init
{
    atomic {
        byte i;
        do
        :: i < FETCHERS -> run fetcher(); i++
        :: else -> break
        od;
        i = 0;
        run reader();
#if WRITERS > 0
        run writer(TAG_OF(0));
#ifndef SOLO
        run writer(TAG_OF(1));
#endif
#if DIES > 0
        run killer();
#endif
#if DEBTS
        run payer();
#endif
#endif
#if FOREIGN > 0
        run foreigner();
        run keeper();
#endif
#ifdef REPLICA
        run replica()
#endif
    }
}
