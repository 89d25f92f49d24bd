using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Tests.Recordings.Import;

public class ExactOperationsReaderTests
{
    [Fact]
    public void Fields_of_a_failed_allocation_say_so()
    {
        ExactOperation operation = ReadAll("A 3 2a20 o - -1 -1 1,2,3,4", "A 0 28c0 m 77 1 4 =")[0];
        operation.Should().Be(new ExactOperation(ExactOperationKind.Allocate, 1, 3, Gfp.Atomic | Gfp.NoWarn, ExactCaller.OomVictim, -1, -1, -1, 0, 0, true, new ExactCounters(1, 2, 3, 4)));
    }

    [Fact]
    public void Counters_stay_those_told_last_and_recorded_isolate_is_translated()
    {
        List<ExactOperation> operations = ReadAll("M 7 1,2,3,4", "S 2 8", "A 0 28c0 m 77 1 4 =", "D -1 5,6,7,8");
        operations[1].HasCounters.Should().BeFalse();
        operations[1].Counters[3].Should().Be(4);
        operations[2].HasCounters.Should().BeTrue();
        operations[2].MigrateType.Should().Be((int)MigrateType.Isolate);
        operations[3].Zone.Should().Be(-1);
        operations[3].Counters[0].Should().Be(5);
    }

    [Theory]
    [InlineData("X 1 2 3", "operation letter")]
    [InlineData("", "operation letter")]
    [InlineData("A 11 28c0 - 5 1 0 1,2,3,4", "order from 0 to 10")]
    [InlineData("A 0 28c0x - 5 1 0 1,2,3,4", "hexadecimal flags")]
    [InlineData("A 0 128c028c0 - 5 1 0 1,2,3,4", "hexadecimal flags of 32 bits")]
    [InlineData("A 0 28c0 q 5 1 0 1,2,3,4", "caller")]
    [InlineData("A 0 28c0 - -5 1 0 1,2,3,4", "frame number")]
    [InlineData("A 0 28c0 - - 1 0 1,2,3,4", "zone from -1 to -1")]
    [InlineData("A 0 28c0 - - -1 0 1,2,3,4", "without a page")]
    [InlineData("A 0 28c0 - 5 1 0", "no counters")]
    [InlineData("A 0 28c0 - 5 1 0 =", "none")]
    [InlineData("A 0 28c0 - 5 1 0 1,2,3", "four counters")]
    [InlineData("A 0 28c0 - 5 1 0 1,2,3,4,5", "four counters")]
    [InlineData("A 0 28c0 - 5 1 0 1,2,3,-4", "four counters")]
    [InlineData("A 0 28c0 - 5 1 0 1,2,3,4 9", "too many fields")]
    [InlineData("F 0 5 4 0 1,2,3,4", "zone from 0 to 3")]
    [InlineData("F 0 5 1 5 1,2,3,4", "migrate type from 0 to 4")]
    [InlineData("F 0 99999999999999999999 1 0 1,2,3,4", "frame number")]
    [InlineData("B 3 28c0 4 1,2,3,4", "delivered from 0 to 3")]
    [InlineData("b 5 1 0", "'B' or 'L'")]
    public void A_wrong_line_is_named_with_its_reason(string line, string reason) =>
        FluentActions.Invoking(() => ReadAll("S 0 1", line)).Should().Throw<InputFileException>().WithMessage($"ops(2): *{reason}*").Which.Line.Should().Be(2);

    [Fact]
    public void Pages_that_are_due_may_not_be_missing()
    {
        FluentActions.Invoking(() => ReadAll("L 2", "l 1 1 0", "S 0 1")).Should().Throw<InputFileException>().WithMessage("ops(3): 1 more 'l' lines*");
        FluentActions.Invoking(() => ReadAll("B 2 28c0 2 1,2,3,4", "b 1 1 0")).Should().Throw<InputFileException>().WithMessage("ops(2): *1 more 'b'*");
        ReadAll("B 2 28c0 1 1,2,3,4", "b 1 1 0", "L 0").Should().HaveCount(3);
    }

    private static List<ExactOperation> ReadAll(params string[] lines)
    {
        using ExactOperationsReader reader = new(ImportText.Of(lines), "ops");
        List<ExactOperation> operations = [];
        while (reader.TryRead(out ExactOperation operation))
        {
            operations.Add(operation);
        }

        return operations;
    }
}
