using System.Globalization;
using MemSim.Mutants;

// make COPY SEED COUNT: puts mutants into the sources of a copy of the repository, and their list into COPY/mutants.tsv. Those named in COPY/left-out.txt did not compile.
// again COPY LIST: puts in the mutants of an earlier list, where their code still stands.
// errors COPY BUILDLOG: adds those to left-out.txt in whose lines the build found errors; restore the sources and make again.
// run COPY TESTS MEASURED LOG SECONDS [EACH] [ID...]: tries each mutant with the tests that meet it; TESTS is the assembly of the tests in the copy's build. Tests that take longer than four times EACH are not used.
// With COPY/earlier.tsv, the log of an earlier run, what killed a mutant then is tried first.
// fresh COPY TESTS MEASURED LOG SECONDS [EACH] [ID...]: the same with a process for each mutant, and all tests of its neighbourhood whether they meet it or not.
string[] rooms = ["Zones", "PageAllocation", "Slab", "Faults", "Swap", "Reclaim", "Compaction"];
switch (args)
{
    case ["worker", string tests]:
        WorkerLoop.Run(tests);
        return 0;

    case ["make" or "again", string copy, string from, .. string[] count]:
        {
            if (File.Exists(Path.Combine(copy, "src", "MemSim", "MutantSwitch.cs")))
            {
                Console.Error.WriteLine("there are mutants in it already: git checkout src, and remove src/MemSim/MutantSwitch.cs");
                return 1;
            }

            string left = Path.Combine(copy, "left-out.txt");
            HashSet<int> leftOut = File.Exists(left) ? [.. File.ReadAllLines(left).Select(Number)] : [];
            List<Mutant> made = args[0] is "make"
                ? MutantMaker.Make(copy, rooms, Number(from), Number(count[0]), leftOut)
                : MutantMaker.Again(copy, rooms, [.. File.ReadAllLines(from).Select(Mutant.Parse)], leftOut);
            File.WriteAllLines(Path.Combine(copy, "mutants.tsv"), made.OrderBy(m => m.Id).Select(m => m.ToString()));
            return 0;
        }

    case ["errors", string copy, string build]:
        {
            int[] bad = [.. MutantMaker.NotCompiling(File.ReadLines(build)).Distinct().Order()];
            File.AppendAllLines(Path.Combine(copy, "left-out.txt"), bad.Select(b => b.ToString(CultureInfo.InvariantCulture)));
            Console.WriteLine($"{bad.Length} do not compile");
            return 0;
        }

    case ["run" or "fresh", string copy, string tests, string measured, string log, string seconds, .. string[] more]:
        {
            TimeSpan each = TimeSpan.FromSeconds(more is [string first, ..] ? Number(first) : 60);
            int[] only = [.. more.Skip(1).Select(Number)];
            Mutant[] mutants = [.. File.ReadAllLines(Path.Combine(copy, "mutants.tsv")).Select(Mutant.Parse).Where(m => only.Length == 0 || only.Contains(m.Id))];
            using MutantRunner runner = new(tests, measured);
            string earlier = Path.Combine(copy, "earlier.tsv");
            if (File.Exists(earlier))
            {
                runner.Remember(earlier);
            }

            runner.Measure(4 * each);
            runner.Go(mutants, log, each, TimeSpan.FromSeconds(Number(seconds)), args[0] is "fresh");
            return 0;
        }

    default:
        Console.Error.WriteLine("make COPY SEED COUNT | again COPY LIST | errors COPY BUILDLOG | run COPY TESTS MEASURED LOG SECONDS [EACH] [ID...] | fresh (the same)");
        return 2;
}

static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
