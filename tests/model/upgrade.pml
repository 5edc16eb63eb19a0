/* Upgrade: two masters over one pool of rows. A row has a process's pins; whose row it is, its word says: {state, pid}.
 * Each master starts processes in free rows (one CAS), waits for its own children alone, and only then zeroes the row
 * and frees it. A master may die at any step, the old one first or the new one; its children then end by themselves
 * sooner or later (they are told of its death), and no master ever waits for them. Their rows stay taken.
 *
 * What makes that safe: a row of nobody's child is taken over by the master that lives, and only when its pid no longer
 * exists (kill(pid, 0) says ESRCH) and the other master is gone, so that nobody else reaps it. A pid that another
 * process has meanwhile got only keeps the row taken for longer. A master that dies in the middle of a start
 * leaves a row STARTING, with no pid: nobody's child either, as the row says which master took it: free it when that
 * master is gone, and no child of it can come any more.
 * The claim on a row to be reaped is a CAS {TAKEN, pid} -> {REAPING, master}, so two masters cannot both do it, and one
 * that dies in there is followed by the other.
 *
 * Claims (assertions): a row with a living process is never zeroed, freed or given to another; a row is given only with
 * no pin left in it; no two living processes have one row; when all have ended under a master that lives, every row is
 * free (no row is lost).
 *
 * Switches: ROWS, CHILDREN (processes to be started by each master), DIES (1: the old master may
 * die, 2: the new one, 3: one of the two).
 * Mutants:
 *   REAPANY    a master takes over rows that are not its children's, without a look whether their process lives
 *   ROWBYSLOT  a process's row is its slot's number, whoever has it: two generations share it
 *   ZEROLATE   a row is freed before it is zeroed
 *   NOWAIT     a master reaps when it has sent the signal, not when the process has gone
 *   PLAINTAKE  a row is taken by a look and a store, no CAS
 *   NOADOPT    nobody takes over the rows of a master that died
 *   NOSTARTING the rows in which a master died while starting a process are left */
#ifndef ROWS
#define ROWS 2
#endif
#ifndef CHILDREN
#define CHILDREN 2
#endif
#ifndef DIES
#define DIES 1
#endif
#define PROCS (2 * CHILDREN)

#define FREE 0
#define STARTING 1 /* by: the master */
#define TAKEN 2    /* by: the process */
#define REAPING 3  /* by: the master */

byte st[ROWS], by[ROWS]; /* one word */
byte pins[ROWS];

/* The kernel's. A process is its number; its parent is its number / CHILDREN. */
#define NONE 0
#define LIVES 1
#define ZOMBIE 2 /* its parent has not waited for it */
byte process[PROCS];
bool master_gone[2];

/* What no process knows. */
byte users[ROWS]; /* living processes that use the row */

inline row_change(r, from_st, from_by, to_st, to_by)
{
    atomic {
        ok = st[r] == from_st && by[r] == from_by;
        if
        :: ok -> st[r] = to_st; by[r] = to_by
        :: else
        fi
    }
}

/* Pins and unpins until it ends, or is killed, with a pin perhaps. */
#define END_CHILD \
    users[row]--; \
    process[me] = (master_gone[me / CHILDREN] -> NONE : ZOMBIE); /* init waits for orphans at once */ \
    goto ended

/* Ends, or is killed, anywhere: with its pin, too. */
proctype child(byte me; byte row)
{
    if
    :: atomic { assert(pins[row] == 0); pins[row] = 1 }
    :: atomic { END_CHILD }
    fi;
    if
    :: atomic { assert(pins[row] == 1); pins[row] = 0 }
    :: atomic { END_CHILD }
    fi;
    atomic { END_CHILD };
ended:
    skip
}

inline zero_and_free(r)
{
#ifdef ZEROLATE
    row_change(r, REAPING, me, FREE, 0);
    pins[r] = 0;
#else
    atomic { assert(users[r] == 0); pins[r] = 0 };
    atomic { assert(users[r] == 0); row_change(r, REAPING, me, FREE, 0) };
#endif
    skip
}

#ifdef NOWAIT
#define ENDED(i) (process[i] != NONE)
#else
#define ENDED(i) (process[i] == ZOMBIE)
#endif
#define OTHERS(r) (st[r] == TAKEN && by[r] / CHILDREN == 1 - me)
#ifdef REAPANY
#define LEFT(r) OTHERS(r)
#else
#define LEFT(r) (master_gone[1 - me] && OTHERS(r) && process[by[r]] == NONE)
#endif
#define HALF(r) (master_gone[1 - me] && (st[r] == STARTING || st[r] == REAPING) && by[r] == 1 - me)

proctype master(byte me)
{
    byte started, i, r;
    bool ok;
    {
        skip;
    end:
        do
        /* Start one. */
        :: atomic { started < CHILDREN -> i = me * CHILDREN + started; started++; r = 0 };
#ifdef ROWBYSLOT
           atomic { r = i % CHILDREN; st[r] = STARTING; by[r] = me };
#else
           atomic {
               do
               :: r < ROWS && st[r] != FREE -> r++
               :: else -> break
               od;
               if
               :: r == ROWS -> goto next /* no free row, no fork */
               :: else
               fi
           };
#ifdef PLAINTAKE
           atomic { st[r] = STARTING; by[r] = me };
#else
           row_change(r, FREE, 0, STARTING, me);
           if
           :: !ok -> goto next
           :: else
           fi;
#endif
#endif
           /* fork(): the child itself puts its pid into the row before it does anything else, so a master that dies
            * after fork() leaves no row whose process is unknown. Here that is one step. */
           atomic {
               assert(users[r] == 0);
               assert(pins[r] == 0);
               users[r]++;
               process[i] = LIVES;
               st[r] = TAKEN;
               by[r] = i;
               run child(i, r)
           };
           goto next;

        /* Its own child has ended: waitpid(). The row is known by the pid. */
        :: atomic {
               ENDED(me * CHILDREN) || ENDED(me * CHILDREN + 1) ->
               i = me * CHILDREN + (ENDED(me * CHILDREN) -> 0 : 1);
               r = 0;
               do
               :: r < ROWS && !(st[r] == TAKEN && by[r] == i) -> r++
               :: else -> break
               od
           };
           /* waitpid() before the row is touched; between them the master may die. */
           atomic { if :: process[i] == ZOMBIE -> process[i] = NONE :: else fi };
           if
           :: r < ROWS ->
              row_change(r, TAKEN, i, REAPING, me);
              if
              :: ok -> zero_and_free(r)
              :: else
              fi
           :: else
           fi;
           goto next;

#ifndef NOADOPT
        /* The other master is gone: what was its, and is nobody's now. */
        :: atomic {
               LEFT(0) || LEFT(1) || LEFT(ROWS - 1) ->
               r = (LEFT(0) -> 0 : (LEFT(1) -> 1 : ROWS - 1));
               i = by[r]
           };
           row_change(r, TAKEN, i, REAPING, me);
           if
           :: ok -> zero_and_free(r)
           :: else
           fi;
           goto next;
#ifndef NOSTARTING
        :: atomic {
               HALF(0) || HALF(1) || HALF(ROWS - 1) ->
               r = (HALF(0) -> 0 : (HALF(1) -> 1 : ROWS - 1));
               st[r] = REAPING; by[r] = me
           };
           zero_and_free(r);
           goto next;
#endif
#endif
        next:
           atomic { i = 0; r = 0; ok = false }
        od
    } unless { master_gone[me] }
}

proctype death()
{
    if
    :: atomic { (DIES & 1) -> master_gone[0] = true }
    :: atomic { (DIES & 2) -> master_gone[1] = true }
    :: true
    fi;
    /* init waits for the orphans that had ended already. */
    atomic {
        byte i;
        do
        :: i == PROCS -> break
        :: else ->
           if
           :: process[i] == ZOMBIE && master_gone[i / CHILDREN] -> process[i] = NONE
           :: else
           fi;
           i++
        od;
        i = 0
    }
}

proctype auditor()
{
    byte r;
    atomic {
        timeout ->
        do
        :: r == ROWS -> break
        :: else -> assert(st[r] == FREE); r++
        od
    }
}

init
{
    atomic {
        run master(0);
        run master(1);
        run death();
        run auditor()
    }
}
