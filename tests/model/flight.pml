/* Single flight over processes: one slot, all keys of one fragment (the worst case), PROCS processes of one request
 * each. A process may be killed between any two steps. The master waits for it, clears its bit, orphans its flight,
 * writes every eventfd and starts another in the row, which has a new request.
 *
 * The slot: one atomic word {gen, owner, st}; hash and born, which its owner stores between CLAIM and RUN; the waiters'
 * bits, in two words: the finisher reads the first process's and wakes it, then reads and wakes the others'. A lookup in
 * the cache is one step (pins.pml, index.pml, tags.pml), so is a fetch that nobody shares. A bit stays set when the
 * second look sends its process back, as in the code.
 * No state says "ended, but its waiters are not woken yet". Who dies there leaves them to the master, which wakes all
 * after any death; who stands still there is followed by the slot's next flight, as each clears its own bit only.
 *
 * Claims: every request of a live process ends (no invalid end state). A key is fetched under the slot at most
 * 1 + (owners that died, take-overs, evictions, fetches without a value, fetches alone, and twice the invalidations:
 * each may cost a value in the cache and a fetch under way) times. Nothing
 * answers a request that an invalidation acknowledged before it reached; no error goes to another key (assertions).
 *
 * Switches: PROCS, KILLS, TAKES (waiters past their deadline), EVICTS, BADS (fetches that end in NONE or ERROR), INVS,
 * KEYS (2: the last process asks for another key).
 * Mutants:
 *   NORECHECK_CLAIM  no look into the cache after the claim
 *   NORECHECK_WAIT   no look at the word after the bit is set
 *   EARLYBITS        the finisher reads the bits before it ends the flight
 *   XCHG             the finisher takes the bits by an exchange with 0
 *   LATECLEAR        the finisher clears the bits that it has woken
 *   CLEARATCLAIM     the claimer clears the bits
 *   WAKEONE          after a death the master wakes one waiter (KILLS)
 *   NOORPHANS        the flight of the dead stays as it is (KILLS)
 *   WAKEFIRST        the master wakes before it orphans (KILLS)
 *   ERRORNOKEY       an error is taken without comparing the key (KEYS=2, BADS)
 *   ERRORNOFRAME     hash and born are read with no second look at the word (KEYS=2, BADS)
 *   ERRORNOTAGS      an error is taken whatever was raised since its flight began (INVS, BADS, with NODOOM). Alone it
 *                    passes: nobody joins a doomed flight, and a flight in CLAIM has yet to fetch
 *   CLAIMDOOMED      a doomed flight may be claimed in CLAIM, too: its owner's fields then overwrite the next one's
 *                    (KEYS=2, BADS, INVS)
 *   NODOOM           a waiter joins a doomed flight (INVS, BADS). Alone it passes: it takes nothing from there */
#ifndef PROCS
#define PROCS 3
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef TAKES
#define TAKES 0
#endif
#ifndef EVICTS
#define EVICTS 0
#endif
#ifndef BADS
#define BADS 0
#endif
#ifndef INVS
#define INVS 0
#endif
#ifndef KEYS
#define KEYS 1
#endif
#define GENS 16
#define JOINS_MAX 3

#define FREE 0
#define CLAIM 1
#define RUN 2
#define VALUE 3
#define NONE 4
#define ERROR 5
#define ORPHAN 6
#define FLIES(s) (s == CLAIM || s == RUN)
#define KEY_OF(p) (KEYS == 2 && p == PROCS - 1 -> 1 : 0)
#define BIT(p) (1 << (p))

/* The slot. */
byte gen, owner, st;
byte error_key, error_version; /* what an ERROR truly is about */
byte hash, born, bits;
bool event[PROCS];

/* The cache, and what invalidates it: both keys carry the one tag. */
bool cached[KEYS];
byte cached_born[KEYS], cached_version[KEYS];
byte global_seq, tag, db = 1;

/* What no process knows. */
byte acked = 1, fetches[KEYS], excuses, kills, takes, bads;
bool dead[PROCS], gone[PROCS];

#define HIT(k) (cached[k] && tag <= cached_born[k])
#define SAME_WORD (gen == g && st == s && owner == o)

inline store(k, b, v)
{
    if
    :: cached[k] && cached_born[k] > b -> skip
    :: else -> cached[k] = true; cached_born[k] = b; cached_version[k] = v
    fi
}

inline wake(mask)
{
    i = 0;
    do
    :: i == PROCS -> break
    :: atomic { i < PROCS && !(mask & BIT(i)) -> i++ }
    :: atomic { i < PROCS && (mask & BIT(i)) -> event[i] = true; i++ }
    od
}

inline forget()
{
    g = 0; s = 0; o = 0; h = 0; b = 0; i = 0; seq = 0; v = 0; ek = 0; ev = 0; least = 0; end = 0
}

proctype worker(byte me)
{
    byte g, s, o, h, b, i, seq, v, ek, ev, end; /* g: the generation that is owned or waited for */
    byte saw, joins, least;
    byte k = KEY_OF(me);
again:
    {
        atomic { saw = acked; joins = 0 };
    look:
        atomic {
            if
            :: HIT(k) && cached_born[k] >= least -> assert(cached_version[k] >= saw); goto done
            :: else -> forget()
            fi
        };
    join:
        atomic {
            if
            :: joins == JOINS_MAX -> goto alone
            :: else -> joins++
            fi
        };
    try:
        atomic {
            forget(); g = gen; s = st; o = owner;
            if
            :: !FLIES(s) -> goto claim
            :: else
            fi
        };
        if
        :: s == RUN ->
#if KEYS > 1
           h = hash;
           if
           :: atomic { h != k && SAME_WORD -> goto alone }
           :: atomic { h != k && !SAME_WORD -> goto try }
           :: h == k
           fi;
#endif
           b = born
        :: s == CLAIM ->
#ifdef CLAIMDOOMED
           b = born
#else
           b = global_seq
#endif
        fi;
        atomic {
            if
            :: !SAME_WORD -> goto try
            :: else
            fi
        };
#if INVS > 0 && !defined(NODOOM)
        if
#ifdef CLAIMDOOMED
        :: tag > b -> goto claim
#else
        :: atomic { s == RUN && tag > b -> goto claim }
#endif
        :: else
        fi;
#endif
        bits = bits | BIT(me);
#ifndef NORECHECK_WAIT
        atomic {
            if
            :: gen == g && FLIES(st) -> skip
            :: else -> goto try
            fi
        };
#endif
        atomic { seq = b; b = 0; h = 0; s = 0; o = 0 };

        /* ---- waiting ---- */
    park:
        if
        :: atomic { event[me] -> event[me] = false }
#if TAKES > 0
        :: atomic { takes < TAKES -> takes++; i = 1 } /* past its deadline */
#endif
        fi;
        atomic {
            s = st; o = owner; ek = error_key; ev = error_version;
            if
            :: gen == g && FLIES(s) && !i -> s = 0; o = 0; ek = 0; ev = 0; goto park
            :: gen == g && FLIES(s) && i -> goto late
            :: gen != g || s == ORPHAN -> goto ended
            :: gen == g && s == VALUE -> least = seq; goto ended
            :: gen == g && s == NONE -> bits = bits & (255 - BIT(me)); goto alone
            :: gen == g && s == ERROR
            fi
        };
        h = hash;
        seq = born;
        atomic {
            if
#ifndef ERRORNOFRAME
            :: !SAME_WORD -> goto ended
#endif
#ifndef ERRORNOKEY
            :: h != k -> goto ended
#endif
            :: else
            fi
        };
        bits = bits & (255 - BIT(me));
        if
#ifndef ERRORNOTAGS
        :: tag > seq -> goto join
#endif
        :: else
        fi;
        atomic { assert(ek == k && ev >= saw); goto done };
    ended:
        bits = bits & (255 - BIT(me));
        goto look;
    late:
        bits = bits & (255 - BIT(me));
        atomic {
            i = 0; s = st; o = owner;
            if
            :: gen == g && s == RUN -> skip
            :: else -> goto join
            fi
        };
        atomic {
            if
            :: SAME_WORD -> excuses++
            :: else -> goto join
            fi;
            gen = (gen + 1) % GENS; st = CLAIM; owner = me; g = gen; goto claimed
        };

        /* ---- owning ---- */
    claim:
        atomic {
            if
            :: SAME_WORD -> gen = (gen + 1) % GENS; st = CLAIM; owner = me; g = gen
            :: else -> goto try
            fi
        };
    claimed:
        atomic { s = 0; o = 0; h = 0; b = 0; i = 0 };
#ifdef CLEARATCLAIM
        bits = 0;
#endif
        seq = global_seq;
        hash = k;
        born = seq;
        atomic {
            if
            :: gen == g && st == CLAIM && owner == me -> st = RUN
            :: else
#ifndef CLAIMDOOMED
               -> assert(false)
#endif
            fi
        };
#ifndef NORECHECK_CLAIM
        if
        :: atomic { HIT(k) -> assert(cached_version[k] >= saw); end = VALUE; goto finish }
        :: else
        fi;
#endif
        atomic { fetches[k]++; assert(fetches[k] <= 1 + excuses); v = db };
        if
        :: atomic { end = VALUE; store(k, seq, v) }
        :: atomic { bads < BADS -> bads++; excuses++; if :: end = NONE :: end = ERROR fi }
        fi;
    finish:
#ifdef EARLYBITS
        b = bits;
#endif
        atomic {
            if
            :: gen == g && st == RUN && owner == me ->
               st = end;
               if
               :: end == ERROR -> error_key = k; error_version = v
               :: else
               fi
            :: else -> goto done
            fi
        };
#if defined(XCHG)
        atomic { b = bits; bits = 0 };
#elif !defined(EARLYBITS)
        b = bits & BIT(0);
        wake(b);
        b = bits & (255 - BIT(0));
#endif
        wake(b);
#ifdef LATECLEAR
        bits = bits & (255 - b);
#endif
        goto done;
    alone:
        atomic { excuses++; assert(db >= saw); store(k, global_seq, db) };
    done:
        skip
    } unless { dead[me] };
    atomic { gone[me] = true; forget(); saw = 0; joins = 0 };
    if
    :: atomic { dead[me] -> skip }; atomic { !dead[me] -> gone[me] = false }; goto again
    :: atomic { !dead[me] -> skip }
    fi
}

/* Who has ended its request is killed no more: that changes nothing but its bit. */
proctype master()
{
    byte v, i, g, s, o;
end:
    do
    :: atomic {
           kills < KILLS && !(gone[0] && gone[1] && gone[PROCS - 1]) ->
           if
           :: !gone[0] -> v = 0
           :: !gone[1] -> v = 1
#if PROCS > 2
           :: !gone[2] -> v = 2
#endif
           fi;
           kills++;
           dead[v] = true
       };
       gone[v]; /* waitpid */
#ifdef WAKEFIRST
       wake(255);
#endif
       atomic { g = gen; s = st; o = owner };
       bits = bits & (255 - BIT(v));
#ifndef NOORPHANS
       atomic {
           if
           :: FLIES(s) && o == v && SAME_WORD -> st = ORPHAN; excuses++
           :: else
           fi;
           g = 0; s = 0; o = 0
       };
#endif
#if defined(WAKEONE)
       atomic {
           if
           :: bits & 1 -> event[0] = true
           :: !(bits & 1) && (bits & 2) -> event[1] = true
           :: !(bits & 3) && (bits & 4) -> event[2] = true
           :: else
           fi
       };
#elif !defined(WAKEFIRST)
       wake(255);
#endif
       atomic { dead[v] = false; v = 0; i = 0; g = 0; s = 0; o = 0 }
    od
}

#if INVS > 0
proctype invalidator()
{
    byte n, v, s;
end:
    do
    :: atomic { n < INVS -> n++; db++; v = db };
       atomic { excuses = excuses + 2; global_seq++; s = global_seq };
       atomic { if :: tag < s -> tag = s :: else fi };
       atomic { if :: acked < v -> acked = v :: else fi; s = 0; v = 0 }
    od
}
#endif

#if EVICTS > 0
proctype evictor()
{
    byte n;
end:
    do
    :: atomic { n < EVICTS && cached[0] -> n++; excuses++; cached[0] = false; cached_born[0] = 0; cached_version[0] = 0 }
#if KEYS > 1
    :: atomic { n < EVICTS && cached[1] -> n++; excuses++; cached[1] = false; cached_born[1] = 0; cached_version[1] = 0 }
#endif
    od
}
#endif

init
{
    atomic {
        byte i;
        do
        :: i < PROCS -> run worker(i); i++
        :: else -> break
        od;
        i = 0;
#if INVS > 0
        run invalidator();
#endif
#if EVICTS > 0
        run evictor();
#endif
#if KILLS > 0
        run master()
#endif
    }
}
