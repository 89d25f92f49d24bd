using System.Globalization;
using FsCheck;
using FsCheck.Fluent;

namespace MemSim.Tests.Processes.Programs;

/// <summary>A program for <see cref="ProgramRun"/>: what FsCheck makes, shortens when it fails, and prints.</summary>
internal sealed class RandomProgram(IReadOnlyList<ProgramStep> steps)
{
    public IReadOnlyList<ProgramStep> Steps { get; } = steps;

    /// <summary>Programs of steps as one method makes them.</summary>
    public static Arbitrary<RandomProgram> Of(Func<Random, ProgramStep> step) =>
        Arb.From(Gen.Choose(0, int.MaxValue).Select(seed => step(new Random(seed))).ListOf().Select(steps => new RandomProgram([.. steps])), Shorter);

    /// <summary>So many steps from a seed.</summary>
    public static IEnumerable<ProgramStep> FromSeed(int seed, int steps, Func<Random, ProgramStep> step)
    {
        Random random = new(seed);
        return Enumerable.Range(0, steps).Select(_ => step(random)).ToArray();
    }

    /// <summary>How programs are tried: the same ones in every run; <c>MEMSIM_PROGRAMS</c> is how many, <c>MEMSIM_PROGRAM_SEED</c> chooses others.</summary>
    public static Config Trials(int programs, int steps) =>
        Config.QuickThrowOnFailure.WithStartSize(steps / 10).WithEndSize(steps).WithMaxTest(Number("MEMSIM_PROGRAMS", programs)).WithReplay((ulong)Number("MEMSIM_PROGRAM_SEED", 2026), 1);

    public override string ToString() => $"{Steps.Count} steps\n" + string.Concat(Steps.Select((step, i) => $"{i + 1,4}. {step}\n"));

    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number > 0 ? number : otherwise;

    /// <summary>Without a run of steps, the longest first; then with simpler steps.</summary>
    private static IEnumerable<RandomProgram> Shorter(RandomProgram program)
    {
        IReadOnlyList<ProgramStep> steps = program.Steps;
        for (int length = steps.Count / 2; length >= 1; length /= 2)
        {
            for (int at = steps.Count - length; at >= 0; at -= length)
            {
                yield return new RandomProgram([.. steps.Take(at), .. steps.Skip(at + length)]);
            }
        }

        for (int i = 0; i < steps.Count; i++)
        {
            foreach (ProgramStep simpler in steps[i].Simpler())
            {
                yield return new RandomProgram([.. steps.Take(i), simpler, .. steps.Skip(i + 1)]);
            }
        }
    }
}
