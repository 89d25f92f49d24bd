using global::FluentAssertions;
using global::FluentAssertions.Execution;
using global::FluentAssertions.Primitives;
using MemSim.Observability;

namespace MemSim.Testing.FluentAssertions;

/// <summary>Where assertions about machines begin in the way of FluentAssertions.</summary>
public static class FluentMachineExtensions
{
    /// <summary>Assertions about a machine.</summary>
    /// <param name="machine">The machine.</param>
    public static FluentMachineAssertions Should(this Machine machine) => new(machine);
}

/// <summary>What a test expects of a machine; failures are collected by an <see cref="AssertionScope"/> where there is one.</summary>
public sealed class FluentMachineAssertions : ReferenceTypeAssertions<Machine, FluentMachineAssertions>
{
    /// <summary>Assertions about a machine.</summary>
    /// <param name="machine">The machine.</param>
    public FluentMachineAssertions(Machine machine)
        : base(machine)
    {
    }

    /// <inheritdoc/>
    protected override string Identifier => "machine";

    /// <summary>Nothing that came since a mark is still there.</summary>
    /// <param name="since">The mark, of <see cref="LeakDetector.Mark"/>.</param>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> HaveNoLeaks(AllocationMark since, string because = "", params object[] becauseArgs) =>
        Expect("to have no leaks", MachineChecks.NoLeaks(Subject, since), because, becauseArgs);

    /// <summary>Every invariant holds (<see cref="Machine.Verify"/>).</summary>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> BeConsistent(string because = "", params object[] becauseArgs) =>
        Expect("to be consistent", MachineChecks.Consistent(Subject), because, becauseArgs);

    /// <summary>So many pages are in the free lists.</summary>
    /// <param name="pages">How many; those in the lists of CPUs do not count.</param>
    /// <param name="zone">In the zones of this type; null for all.</param>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> HaveFree(long pages, ZoneType? zone = null, string because = "", params object[] becauseArgs) =>
        Expect($"to have {pages} free pages{MachineChecks.In(zone)}", MachineChecks.Free(Subject, pages, zone), because, becauseArgs);

    /// <summary>The free lists hold so many blocks of an order.</summary>
    /// <param name="order">log2 of the pages of a block.</param>
    /// <param name="count">How many.</param>
    /// <param name="zone">In the zones of this type; null for all.</param>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> HaveFreeBlocks(int order, long count, ZoneType? zone = null, string because = "", params object[] becauseArgs) =>
        Expect($"to have {count} free blocks of order {order}{MachineChecks.In(zone)}", MachineChecks.FreeBlocks(Subject, order, count, zone), because, becauseArgs);

    /// <summary>Pages enough for a block of an order are free, but no such block is.</summary>
    /// <param name="order">log2 of the pages of the block.</param>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> BeFragmented(int order, string because = "", params object[] becauseArgs) =>
        Expect($"to be fragmented for order {order}", MachineChecks.Fragmented(Subject, order), because, becauseArgs);

    /// <summary>A block of an order is free, or a larger one.</summary>
    /// <param name="order">log2 of the pages of the block.</param>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> NotBeFragmented(int order, string because = "", params object[] becauseArgs) =>
        Expect($"to have a free block of order {order}", MachineChecks.NotFragmented(Subject, order), because, becauseArgs);

    /// <summary>So many requests for pages failed since the boot.</summary>
    /// <param name="count">How many.</param>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> HaveAllocationFailures(long count, string because = "", params object[] becauseArgs) =>
        Expect($"to have {count} failed requests for pages", MachineChecks.AllocationFailures(Subject, count), because, becauseArgs);

    /// <summary>The OOM killer was called so often since the boot.</summary>
    /// <param name="count">How often.</param>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> HaveOomKills(int count, string because = "", params object[] becauseArgs) =>
        Expect($"to have {count} OOM reports", MachineChecks.OomKills(Subject, count), because, becauseArgs);

    /// <summary>The machine is in the state of a snapshot, as far as its <c>/proc</c> files and free lists show.</summary>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="because">Why.</param>
    /// <param name="becauseArgs">What is put into the reason.</param>
    public AndConstraint<FluentMachineAssertions> BeInTheStateOf(MachineSnapshot snapshot, string because = "", params object[] becauseArgs) =>
        Expect("to be in the state of the snapshot", MachineChecks.Same(Subject, snapshot), because, becauseArgs);

    private AndConstraint<FluentMachineAssertions> Expect(string what, string? found, string because, object[] becauseArgs)
    {
        Execute.Assertion.BecauseOf(because, becauseArgs).ForCondition(found is null).FailWith($"Expected {{context:machine}} {Escaped(what)}{{reason}}, but {Escaped(found ?? "")}.");
        return new AndConstraint<FluentMachineAssertions>(this);
    }

    /// <summary>Braces would be taken for places to fill in.</summary>
    private static string Escaped(string text) => text.Replace("{", "{{", StringComparison.Ordinal).Replace("}", "}}", StringComparison.Ordinal);
}
