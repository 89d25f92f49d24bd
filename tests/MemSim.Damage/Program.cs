using System.Diagnostics;
using System.Globalization;
using MemSim;
using MemSim.Damage;

// Overwrites page tables and other metadata in simulated memory, and calls everything afterwards: see docs/reliability.md.
// dotnet run -c Release --project tests/MemSim.Damage -- [CASES] [SEED] [CASES_A_MACHINE] [tables|metadata]
bool metadata = args.Length > 3 && args[3] == "metadata";
long cases = args.Length > 0 ? long.Parse(args[0], CultureInfo.InvariantCulture) : 100_000;
ulong seed = args.Length > 1 ? ulong.Parse(args[1], CultureInfo.InvariantCulture) : 1;
int perMachine = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 200;
Architecture[] architectures = [Architecture.X86_64, Architecture.X86_32, Architecture.X86_32Pae, Architecture.Arm64];
Stopwatch clock = Stopwatch.StartNew();
TimeSpan told = default;
DamageTally tally = new();
string now = "";
HashSet<string> kinds = new(StringComparer.Ordinal);
using Timer watch = new(_ => Console.Error.WriteLine($"still at {now}, {clock.Elapsed.TotalSeconds:F0} s"), null, TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1));
for (ulong machine = seed; tally.Cases < cases; machine++)
{
    Architecture architecture = architectures[machine % 4];
    now = $"{architecture}, seed {machine}";
    if ((metadata ? OverwrittenMetadata.Run(architecture, machine, perMachine, tally) : OverwrittenMemory.Run(architecture, machine, perMachine, tally)) is { } wrong)
    {
        // One of each kind is told; the next machine may show others.
        string kind = string.Join('\n', wrong.Split('\n').Where(l => l.Contains(" at MemSim.", StringComparison.Ordinal)).Take(1));
        if (kinds.Add(kind))
        {
            Console.WriteLine($"{now}: {wrong}");
        }
    }

    if (clock.Elapsed - told > TimeSpan.FromSeconds(10))
    {
        told = clock.Elapsed;
        Console.WriteLine($"{tally} to seed {machine}, {clock.Elapsed.TotalSeconds:F0} s");
    }
}

Console.WriteLine($"{tally} from seed {seed}, {clock.Elapsed.TotalSeconds:F0} s: no fault of the host, {(kinds.Count == 0 ? "no exception but the kernel's own" : $"{kinds.Count} kinds of other exceptions")}");
return kinds.Count == 0 ? 0 : 1;
