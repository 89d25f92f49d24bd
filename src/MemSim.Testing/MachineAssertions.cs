using System.Runtime.CompilerServices;
using MemSim.Observability;

namespace MemSim.Testing;

/// <summary>Where assertions about machines begin: <c>machine.Should().HaveNoLeaks(mark)</c>.</summary>
public static class MachineAssertionExtensions
{
    /// <summary>Assertions about a machine.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="name">What messages call it; the compiler fills in the expression.</param>
    /// <remarks>With <c>MemSim.Testing.FluentAssertions</c> in sight its own method of this name is taken, which has no second parameter.</remarks>
    public static MachineAssertions Should(this Machine machine, [CallerArgumentExpression(nameof(machine))] string name = "machine")
    {
        ArgumentNullException.ThrowIfNull(machine);
        return new MachineAssertions(machine, name);
    }
}

/// <summary>What a test expects of a machine. What does not hold throws <see cref="MachineAssertionException"/>, which every test framework reports.</summary>
/// <remarks>Every method takes a reason, which becomes part of the message: <c>because: "the driver gave its ring back"</c>.</remarks>
public sealed class MachineAssertions
{
    private readonly Machine _machine;
    private readonly string _name;

    internal MachineAssertions(Machine machine, string name)
    {
        _machine = machine;
        _name = name;
    }

    /// <summary>The same machine: to go on in a sentence.</summary>
    public MachineAssertions And => this;

    /// <summary>Nothing that came since a mark is still there: no block of pages, object or area.</summary>
    /// <param name="since">The mark, of <see cref="LeakDetector.Mark"/>.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions HaveNoLeaks(AllocationMark since, string because = "") => Expect("to have no leaks", because, MachineChecks.NoLeaks(_machine, since));

    /// <summary>Every invariant holds (<see cref="Machine.Verify"/>).</summary>
    /// <param name="because">Why.</param>
    public MachineAssertions BeConsistent(string because = "") => Expect("to be consistent", because, MachineChecks.Consistent(_machine));

    /// <summary>So many pages are in the free lists.</summary>
    /// <param name="pages">How many; those in the lists of CPUs do not count.</param>
    /// <param name="zone">In the zones of this type; null for all.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions HaveFree(long pages, ZoneType? zone = null, string because = "") => Expect($"to have {pages} free pages{MachineChecks.In(zone)}", because, MachineChecks.Free(_machine, pages, zone));

    /// <summary>At least so many pages are in the free lists.</summary>
    /// <param name="pages">How many.</param>
    /// <param name="zone">In the zones of this type; null for all.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions HaveFreeAtLeast(long pages, ZoneType? zone = null, string because = "") => Expect($"to have at least {pages} free pages{MachineChecks.In(zone)}", because, MachineChecks.FreeAtLeast(_machine, pages, zone));

    /// <summary>The free lists hold so many blocks of an order.</summary>
    /// <param name="order">log2 of the pages of a block.</param>
    /// <param name="count">How many.</param>
    /// <param name="zone">In the zones of this type; null for all.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions HaveFreeBlocks(int order, long count, ZoneType? zone = null, string because = "") =>
        Expect($"to have {count} free blocks of order {order}{MachineChecks.In(zone)}", because, MachineChecks.FreeBlocks(_machine, order, count, zone));

    /// <summary>Pages enough for a block of an order are free, but no such block is.</summary>
    /// <param name="order">log2 of the pages of the block.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions BeFragmented(int order, string because = "") => Expect($"to be fragmented for order {order}", because, MachineChecks.Fragmented(_machine, order));

    /// <summary>A block of an order is free, or a larger one.</summary>
    /// <param name="order">log2 of the pages of the block.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions NotBeFragmented(int order, string because = "") => Expect($"to have a free block of order {order}", because, MachineChecks.NotFragmented(_machine, order));

    /// <summary>Every zone of a type has more free pages than a watermark.</summary>
    /// <param name="mark">The watermark.</param>
    /// <param name="zone">The type.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions BeAbove(Watermark mark, ZoneType zone, string because = "") => Expect($"to be above the {mark} watermark of {zone}", because, MachineChecks.Above(_machine, mark, zone));

    /// <summary>No zone of a type has more free pages than a watermark.</summary>
    /// <param name="mark">The watermark.</param>
    /// <param name="zone">The type.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions NotBeAbove(Watermark mark, ZoneType zone, string because = "") => Expect($"not to be above the {mark} watermark of {zone}", because, MachineChecks.NotAbove(_machine, mark, zone));

    /// <summary>So many requests for pages failed since the boot, silent ones included.</summary>
    /// <param name="count">How many.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions HaveAllocationFailures(long count, string because = "") => Expect($"to have {count} failed requests for pages", because, MachineChecks.AllocationFailures(_machine, count));

    /// <summary>The OOM killer was called so often since the boot.</summary>
    /// <param name="count">How often.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions HaveOomKills(int count, string because = "") => Expect($"to have {count} OOM reports", because, MachineChecks.OomKills(_machine, count));

    /// <summary>These processes live and no others.</summary>
    /// <param name="names">Their names, in any order.</param>
    public MachineAssertions HaveProcesses(params string[] names) => Expect(names is { Length: > 0 } ? "to run " + string.Join(", ", names) : "to run no process", "", MachineChecks.Processes(_machine, names ?? []));

    /// <summary>The machine is in the state of a snapshot, as far as its <c>/proc</c> files and free lists show.</summary>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="because">Why.</param>
    public MachineAssertions BeInTheStateOf(MachineSnapshot snapshot, string because = "") => Expect("to be in the state of the snapshot", because, MachineChecks.Same(_machine, snapshot));

    private MachineAssertions Expect(string what, string because, string? found)
    {
        string reason = string.IsNullOrWhiteSpace(because) ? "" : because.TrimStart().StartsWith("because", StringComparison.Ordinal) ? " " + because.Trim() : " because " + because.Trim();
        return found is null ? this : throw new MachineAssertionException($"expected {_name} {what}{reason}, but {found}");
    }
}
