using System.Diagnostics;
using System.Globalization;
using MemSim.Soak;

// Everything at once against a naive model: see docs/reliability.md.
// dotnet run -c Release --project tests/MemSim.Soak -- [OPERATIONS] [SEED] [OPERATIONS_A_MACHINE] [SECONDS]
//                                                                     long OPERATIONS [SEED] [OPERATIONS_A_MACHINE]
//                                                                     processes OPERATIONS [SEED] [OPERATIONS_A_MACHINE]
//                                                                     pressure OPERATIONS [SEED] [OPERATIONS_A_MACHINE]
if (args is ["long" or "processes" or "pressure", ..])
{
    return LongRuns.Go(args);
}

long operations = args.Length > 0 ? long.Parse(args[0], CultureInfo.InvariantCulture) : 1_000_000;
ulong first = args.Length > 1 ? ulong.Parse(args[1], CultureInfo.InvariantCulture) : 1;
int perMachine = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 20_000;
double seconds = args.Length > 3 ? double.Parse(args[3], CultureInfo.InvariantCulture) : double.MaxValue;
Stopwatch clock = Stopwatch.StartNew();
TimeSpan told = default;
SoakTally tally = new();
int failures = 0;
ulong seed = first;
for (; tally.Steps < operations && clock.Elapsed.TotalSeconds < seconds && failures < 5; seed++)
{
    if (SoakRun.Run(seed, perMachine, tally) is { } wrong)
    {
        failures++;
        Console.WriteLine(wrong);
    }

    if (args.Length > 4)
    {
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"seed {seed}: {tally}"));
    }

    if (clock.Elapsed - told > TimeSpan.FromSeconds(20))
    {
        told = clock.Elapsed;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{tally}, to seed {seed}, {clock.Elapsed.TotalSeconds:F0} s"));
    }
}

Console.WriteLine(tally.Table());
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{tally}, seeds {first} to {seed - 1}, {clock.Elapsed.TotalSeconds:F0} s: {(failures == 0 ? "no difference from the model" : $"{failures} failures")}"));
return failures == 0 ? 0 : 1;
