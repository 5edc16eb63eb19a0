/* Runs: a value of several segments in a row. Its head is OPEN, SEALED, RECLAIM or LIMBO as any segment; the others are
 * PARTs, owned by the head, that are freed with it, and readers pin the head alone.
 *
 * NS segments; a writer of values of 2 or 3 segments, which takes free segments and empties sealed ones; a reader; a
 * reclaimer; another writer that opens and seals free segments. Owners are bare numbers, a process's or a head's, as in
 * the code: only the state tells which. A pin is one step, with its fence (pins.pml), and one word names all values,
 * so the newest replaces the one before. Limbo is left in one step: the incarnation, compared, makes it so (pins.pml).
 * A kill may come between any two steps of the writer and the reclaimer; the master waits for the process, seals its
 * OPEN and RECLAIM segments one by one, and starts another.
 *
 * Claims (assertions): what a reader has pinned and looked at twice has its own value's stamp in each segment; no part
 * of it is freed meanwhile; a part is freed by its own head's owner only; the word names no free segment; when nobody
 * has anything left to do (the reclaimer empties what is sealed), every segment is FREE.
 *
 * Switches: NS, VALUES of the writer, SMALLS (segments that the other writer fills), KILLS, VICTIMS (1: writer, 2:
 * reclaimer), NOWIN (the writer takes free segments only).
 * Mutants:
 *   PARTSEARLY   parts are freed before the pins are summed
 *   NOHEADCHECK  a part is freed without comparing whose it is (KILLS)
 *   COMMITLATE   published before the others are PARTs (KILLS)
 *   RUNLATE      the head tells its length after the others are PARTs (KILLS)
 *   RUNZERO      the head's length is cleared before the parts are freed (KILLS)
 *   REAPOPEN     the master seals OPEN segments only (KILLS)
 *   REAPANY      the master seals by the owner alone, whatever the state (KILLS)
 *   NOGIVEBACK   who does not get all of a run keeps what it has got
 *   PARTPLAIN    the others are sealed segments, not PARTs
 *   LIMBOPARTS   who takes a head out of limbo does not free its parts
 *   WINPART      a part of a run is emptied alone, not with all of its run */
#ifndef NS
#define NS 3
#endif
#ifndef VALUES
#define VALUES 2
#endif
#ifndef SMALLS
#define SMALLS 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef VICTIMS
#define VICTIMS 3
#endif

#define FREE 0
#define OPEN 1
#define SEALED 2
#define RECLAIM 3
#define LIMBO 4
#define PART 5
#define WRITER 1
#define RECLAIMER 2
#define OTHER 3 /* 0 .. 2 are heads as well */
#define SMALL_STAMP 9

byte st[NS], own[NS]; /* one word a segment */
byte run_length[NS], stamp[NS];
bool pinned[NS];
byte W; /* the index word: head + 1 */

/* What no process knows. */
bool reading;
byte read_head, read_length;
byte kills;
bool dead[3], gone[3]; /* by process */

#define READ(s) (reading && s >= read_head && s < read_head + read_length)
#define IS(s, state, owner) (st[s] == state && own[s] == owner)

#ifdef NOHEADCHECK
#define OWNED(by, head) true
#else
#define OWNED(by, head) (by == head)
#endif

#ifdef PARTPLAIN
#define PARTED SEALED, 0
#else
#define PARTED PART, first
#endif

/* `ok`: the CAS of a segment's word. */
inline change(s, from_st, from_own, to_st, to_own)
{
    d_step {
        ok = IS(s, from_st, from_own);
        if
        :: ok -> st[s] = to_st; own[s] = to_own
        :: else
        fi;
        assert(!ok || to_st != FREE || (!READ(s) && W != s + 1))
    }
}

inline free_parts(s)
{
#ifdef RUNZERO
    atomic { size = run_length[s]; run_length[s] = 0 };
#else
    size = run_length[s];
#endif
    p = 1;
    do
    :: atomic { p >= size -> break }
    :: atomic {
           p < size ->
           if
           :: st[s + p] == PART && OWNED(own[s + p], s) ->
              assert(own[s + p] == s && !READ(s + p));
              st[s + p] = FREE; own[s + p] = 0
           :: else
           fi;
           p++
       }
    od;
    atomic { run_length[s] = 0; p = 0; size = 0 }
}

/* The head is RECLAIM, and ours. */
inline free_segment(s, me)
{
    if
    :: run_length[s] > 1 -> free_parts(s)
    :: else
    fi;
    atomic { change(s, RECLAIM, me, FREE, 0); assert(ok) }
}

inline reclaim(s, me)
{
    change(s, SEALED, 0, RECLAIM, me);
    if
    :: ok ->
       if
       :: atomic { W == s + 1 -> W = 0 }
       :: atomic { W != s + 1 -> skip }
       fi;
#ifdef PARTSEARLY
       if
       :: run_length[s] > 1 -> free_parts(s)
       :: else
       fi;
#endif
       if
       :: atomic { pinned[s] -> change(s, RECLAIM, me, LIMBO, 0) }
       :: atomic { !pinned[s] -> skip }; free_segment(s, me)
       fi;
       ok = true
    :: else
    fi
}

inline win(s, me)
{
    change(s, FREE, 0, RECLAIM, me);
#ifndef NOWIN
    if
    :: !ok ->
       atomic {
           v = s;
           if
           :: st[s] == PART ->
#ifdef WINPART
              st[s] = SEALED; own[s] = 0
#else
              v = own[s]
#endif
           :: else
           fi
       };
       reclaim(v, me);
       if
       :: ok -> change(s, FREE, 0, RECLAIM, me)
       :: else
       fi;
       v = 0
    :: else
    fi
#endif
}

proctype writer()
{
    byte n, first, count, i, v, p, size;
    bool ok;
again:
    {
        skip;
    next:
        atomic {
            i = 0; first = 0; count = 0; ok = false; v = 0; p = 0; size = 0;
            if
            :: n == VALUES -> goto done
            :: n < VALUES -> n++; count = 2; first = 0
            :: n < VALUES -> n++; count = 2; first = 1
            :: n < VALUES -> n++; count = 3; first = 0
#if NS > 3
            :: n < VALUES -> n++; count = 2; first = 2
            :: n < VALUES -> n++; count = 3; first = 1
#endif
            fi
        };
        /* Free ones first, then what it takes to have the rest. */
        do
        :: i == count -> break
        :: atomic { i < count -> change(first + i, FREE, 0, RECLAIM, WRITER); i++ }
        od;
        i = 0;
        do
        :: i == count -> break
        :: atomic { i < count && IS(first + i, RECLAIM, WRITER) -> i++ }
        :: atomic { i < count && !IS(first + i, RECLAIM, WRITER) -> skip };
           win(first + i, WRITER);
           if
           :: ok -> i++
           :: else -> goto give_back
           fi
        od;
        atomic { change(first, RECLAIM, WRITER, OPEN, WRITER); assert(ok) };

        atomic {
            i = 0;
            do
            :: i == count -> break
            :: i < count -> stamp[first + i] = n; i++
            od;
            i = 1
        };
#ifdef COMMITLATE
        W = first + 1;
#endif
#ifndef RUNLATE
        run_length[first] = count;
#endif
        do
        :: atomic { i == count -> break }
        :: atomic { i < count -> change(first + i, RECLAIM, WRITER, PARTED); assert(ok); i++ }
        od;
#ifdef RUNLATE
        run_length[first] = count;
#endif
#ifndef COMMITLATE
        W = first + 1;
#endif
        atomic { change(first, OPEN, WRITER, SEALED, 0); assert(ok); goto next };

    give_back:
        i = 0;
#ifndef NOGIVEBACK
        do
        :: i == count -> break
        :: atomic { i < count && !IS(first + i, RECLAIM, WRITER) -> i++ }
        :: atomic { i < count && IS(first + i, RECLAIM, WRITER) -> change(first + i, RECLAIM, WRITER, FREE, 0); i++ }
        od;
#endif
        goto next;
    done:
        skip
    } unless { dead[WRITER] };
    atomic {
        gone[WRITER] = true;
        i = 0; first = 0; count = 0; ok = false; v = 0; p = 0; size = 0
    };
    if
    :: atomic { dead[WRITER] -> skip }; atomic { !dead[WRITER] -> gone[WRITER] = false }; goto again
    :: atomic { !dead[WRITER] -> skip }
    fi
}

proctype reclaimer()
{
    byte s, p, size;
    bool ok;
again:
    {
        skip;
    end:
        do
        :: atomic {
               if
               :: st[0] == SEALED -> s = 0
               :: st[1] == SEALED -> s = 1
               :: st[2] == SEALED -> s = 2
#if NS > 3
               :: st[3] == SEALED -> s = 3
#endif
               fi
           };
           reclaim(s, RECLAIMER);
           atomic { s = 0; ok = false }
        :: atomic {
               if
               :: st[0] == LIMBO && !pinned[0] -> s = 0
               :: st[1] == LIMBO && !pinned[1] -> s = 1
               :: st[2] == LIMBO && !pinned[2] -> s = 2
#if NS > 3
               :: st[3] == LIMBO && !pinned[3] -> s = 3
#endif
               fi;
               st[s] = RECLAIM; own[s] = RECLAIMER
           };
#ifdef LIMBOPARTS
           run_length[s] = 0;
#endif
           free_segment(s, RECLAIMER);
           atomic { s = 0; ok = false }
        od
    } unless { dead[RECLAIMER] };
    atomic { gone[RECLAIMER] = true; s = 0; p = 0; size = 0; ok = false };
    atomic { !dead[RECLAIMER] -> gone[RECLAIMER] = false };
    goto again
}

proctype other()
{
    byte n, s;
    bool ok;
end:
    do
    :: atomic {
           n < SMALLS ->
           if
           :: st[0] == FREE -> s = 0
           :: st[1] == FREE -> s = 1
           :: st[2] == FREE -> s = 2
#if NS > 3
           :: st[3] == FREE -> s = 3
#endif
           fi;
           n++; st[s] = OPEN; own[s] = OTHER
       };
       stamp[s] = SMALL_STAMP;
       atomic { change(s, OPEN, OTHER, SEALED, 0); assert(ok); s = 0; ok = false }
    od
}

proctype reader()
{
    byte w, k, i;
end:
    do
    :: atomic { W != 0 -> w = W };
       pinned[w - 1] = true;
       atomic {
           if
           :: W != w -> goto unpin
           :: else -> k = stamp[w - 1]; reading = true; read_head = w - 1; read_length = run_length[w - 1]
           fi
       };
       /* No stamp comes twice, so one look at the end sees all that happened meanwhile. */
       atomic {
           do
           :: i == read_length -> break
           :: else -> assert(k != SMALL_STAMP && stamp[w - 1 + i] == k); i++
           od;
           reading = false
       };
    unpin:
       atomic { pinned[w - 1] = false; w = 0; k = 0; i = 0; read_head = 0; read_length = 0 }
    od
}

proctype master()
{
    byte v, i;
    bool ok;
end:
    do
    :: atomic {
           kills < KILLS ->
           if
           :: (VICTIMS & 1) && !gone[WRITER] -> v = WRITER
           :: (VICTIMS & 2) -> v = RECLAIMER
           fi;
           kills++;
           dead[v] = true
       };
       gone[v]; /* waitpid */
       i = 0;
       do
       :: i == NS -> break
#ifdef REAPANY
       :: atomic { i < NS && own[i] == v && st[i] != SEALED && st[i] != FREE -> st[i] = SEALED; own[i] = 0; i++ }
       :: atomic { i < NS && !(own[i] == v && st[i] != SEALED && st[i] != FREE) -> i++ }
#else
       :: atomic {
              i < NS ->
              change(i, OPEN, v, SEALED, 0);
#ifndef REAPOPEN
              change(i, RECLAIM, v, SEALED, 0);
#endif
              i++
          }
#endif
       od;
       atomic { dead[v] = false; v = 0; i = 0; ok = false }
    od
}

proctype auditor()
{
    byte i;
    atomic {
        timeout ->
        do
        :: i == NS -> break
        :: else -> assert(st[i] == FREE); i++
        od
    }
}

init
{
    atomic {
        run writer();
        run reclaimer();
        run other();
        run reader();
        run auditor();
#if KILLS > 0
        run master()
#endif
    }
}
