/* Flights with several requests a process (worker/park.c): one slot, one bit a process, REQS requests of one key in each
 * of PROCS event loops. A loop does one thing at a time, but each may be interleaved with other processes at every step.
 * Fetches take time, so a request may wait for a flight of its own process. flight.pml has the protocol between
 * processes in full, with errors, keys and invalidations; here a fetch stores a value or ends in NONE.
 *
 * When its eventfd is written a process looks at all its requests that wait, takes out those whose flight is over,
 * clears its bit unless another of its requests still waits in the slot, and then lets each go on.
 *
 * Claims: every request of a live process ends (no invalid end state); the key is fetched under the slot at most
 * 1 + (owners that died, take-overs, evictions, fetches without a value) times (assertion).
 *
 * Switches: PROCS, REQS, KILLS, TAKES, EVICTS, NONES.
 * Mutants:
 *   CLEAROTHER  the bit is cleared though another request of the process waits
 *   LEAVELATE   whether another waits is asked before the requests go on, but the bit is cleared after that
 *   LOOKONE     a process that is woken looks at one of its requests
 *   WAKEBITS    after a death only those are woken whose bit is set, and only if the dead owned the flight (KILLS)
 *   WAKEOWN     after a death only processes of the same master are woken: not process 0 (KILLS) */
#ifndef PROCS
#define PROCS 2
#endif
#ifndef REQS
#define REQS 2
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
#ifndef NONES
#define NONES 0
#endif
#define GENS 8

#define FREE 0
#define CLAIM 1
#define RUN 2
#define VALUE 3
#define NONE 4
#define ORPHAN 5
#define FLIES(s) (s == CLAIM || s == RUN)
#define BIT(p) (1 << (p))

/* The slot. */
byte gen, owner, st; /* one word */
byte bits;
bool event[PROCS];
bool cached;

/* What no process knows. */
byte fetches, excuses, kills, takes, nones;
bool dead[PROCS], gone[PROCS];

/* A request. ENDED: taken out, to go on. */
#define NEW 0
#define PARKED 1
#define FETCHING 2
#define ENDED 3
#define DONE 4

inline wake(mask)
{
    i = 0;
    do
    :: i == PROCS -> break
    :: atomic {
           i < PROCS ->
           do
           :: i < PROCS && !(mask & BIT(i)) -> i++
           :: else -> break
           od;
           if
           :: i < PROCS -> event[i] = true; i++
           :: else
           fi
       }
    od
}

inline forget()
{
    q = 0; g = 0; s = 0; o = 0; b = 0; i = 0; end = 0; any = false
}

/* Only of those that are taken out; a bit that stays costs a needless wake-up. */
inline leave()
{
    if
#ifndef CLEAROTHER
    :: is[0] == PARKED || is[REQS - 1] == PARKED -> skip
    :: is[0] != PARKED && is[REQS - 1] != PARKED -> bits = bits & (255 - BIT(me))
#else
    :: bits = bits & (255 - BIT(me))
#endif
    fi
}

proctype loop(byte me)
{
    byte is[REQS], its_gen[REQS], alone[REQS];
    byte q, g, s, o, b, i, end;
    bool any, leaves;
again:
    {
        skip;
    next:
        atomic {
            forget();
#ifdef LEAVELATE
            if
            :: leaves && is[0] != ENDED && is[REQS - 1] != ENDED && is[0] != NEW && is[REQS - 1] != NEW ->
               leaves = false; bits = bits & (255 - BIT(me))
            :: else
            fi;
#endif
            if
            :: is[0] == NEW -> q = 0; goto join
            :: is[0] == FETCHING -> q = 0; goto finish
            :: is[0] == ENDED -> q = 0; goto go_on
#if REQS > 1
            :: is[1] == NEW -> q = 1; goto join
            :: is[1] == FETCHING -> q = 1; goto finish
            :: is[1] == ENDED -> q = 1; goto go_on
#endif
            :: is[0] != ENDED && is[REQS - 1] != ENDED && event[me] -> event[me] = false; goto look
#if TAKES > 0
            :: takes < TAKES && is[0] == PARKED -> q = 0; goto late
            :: takes < TAKES && is[REQS - 1] == PARKED -> q = REQS - 1; goto late
#endif
            :: is[0] == DONE && is[REQS - 1] == DONE -> goto done
            fi
        };

    join:
        atomic {
            if
            :: cached -> is[q] = DONE; goto next
            :: else
            fi
        };
    try:
        atomic {
            g = gen; s = st; o = owner;
            if
            :: FLIES(s) -> goto wait
            :: else
            fi
        };
        atomic {
            if
            :: gen == g && st == s && owner == o -> gen = (gen + 1) % GENS; st = CLAIM; owner = me; g = gen
            :: else -> goto try
            fi
        };
    claimed:
        atomic { assert(gen == g && owner == me && st == CLAIM); st = RUN };
        atomic {
            its_gen[q] = g;
            if
            :: cached -> is[q] = DONE; end = VALUE; goto end_flight
            :: else -> is[q] = FETCHING
            fi
        };
        goto next;
    wait:
        bits = bits | BIT(me);
        atomic {
            if
            :: gen == g && FLIES(st) -> is[q] = PARKED; its_gen[q] = g; goto next
            :: else -> goto try
            fi
        };

    finish:
        atomic {
            g = its_gen[q];
            fetches++;
            assert(fetches <= 1 + excuses);
            if
            :: end = VALUE; cached = true
            :: nones < NONES -> end = NONE; nones++; excuses++
            fi;
            is[q] = DONE
        };
    end_flight:
        atomic {
            if
            :: gen == g && owner == me && st == RUN -> st = end
            :: else -> goto next
            fi
        };
        b = bits;
        wake(b);
        goto next;

        /* ---- woken ---- */
    look:
        if
        :: atomic { q == REQS -> goto looked }
        :: atomic { q < REQS && is[q] != PARKED -> q++ }; goto look
        :: atomic { q < REQS && is[q] == PARKED -> g = gen; s = st };
           atomic {
               if
               :: g == its_gen[q] && FLIES(s) -> skip
               :: g == its_gen[q] && s == NONE -> is[q] = ENDED; alone[q] = true; any = true
               :: else -> is[q] = ENDED; any = true
               fi;
#ifdef LOOKONE
               q = REQS
#else
               q++
#endif
           }
        fi;
        goto look;
    looked:
        if
#ifdef LEAVELATE
        :: any && is[0] != PARKED && is[REQS - 1] != PARKED -> leaves = true
#else
        :: any -> leave()
#endif
        :: else
        fi;
        goto next;

        /* ---- each of them ---- */
    go_on:
        atomic {
            its_gen[q] = 0;
            if
            :: alone[q] -> is[q] = DONE; alone[q] = false
            :: else -> is[q] = NEW
            fi;
            goto next
        };

    late:
        atomic {
            g = its_gen[q]; takes++;
            if
            :: gen == g && st == RUN ->
               excuses++;
               gen = (gen + 1) % GENS; st = CLAIM; owner = me; g = gen;
               is[q] = NEW; leave()
            :: else -> is[q] = NEW; leave(); goto next /* joins again */
            fi
        };
        goto claimed;
    done:
        skip
    } unless { dead[me] };
    gone[me] = true;
    if
    :: !dead[me] -> goto over
    :: atomic {
           dead[me] -> forget();
           do
           :: i == REQS -> break
           :: else -> is[i] = NEW; its_gen[i] = 0; alone[i] = false; i++
           od;
           i = 0; leaves = false
       };
       atomic { !dead[me] -> gone[me] = false }
    fi;
    goto again;
over:
    skip
}

proctype master()
{
    byte v, i, b;
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
           kills++; dead[v] = true
       };
       gone[v]; /* waitpid */
       bits = bits & (255 - BIT(v));
       atomic {
           b = 255;
#ifdef WAKEBITS
           b = (FLIES(st) && owner == v -> bits : 0);
#endif
#ifdef WAKEOWN
           b = 254;
#endif
           if
           :: FLIES(st) && owner == v -> st = ORPHAN; excuses++
           :: else
           fi
       };
       wake(b);
       atomic { dead[v] = false; v = 0; i = 0; b = 0 }
    od
}

proctype evictor()
{
    byte n;
end:
    do
    :: atomic { n < EVICTS && cached -> n++; excuses++; cached = false }
    od
}

init
{
    atomic {
        byte p;
        do
        :: p < PROCS -> run loop(p); p++
        :: else -> break
        od;
        p = 0;
        if :: KILLS -> run master() :: else fi;
        if :: EVICTS -> run evictor() :: else fi
    }
}
