using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using MemSim.Statistics;
using MemSim.Tests.Processes.Programs;
using Xunit;

namespace MemSim.Tests.HugePages;

/// <summary>Random programs in a window of 8 MiB with huge pages everywhere.</summary>
public class HugePageModelTests
{
    [Theory]
    [InlineData("x86_64")]
    [InlineData("pae")]
    [InlineData("arm64")]
    [InlineData("x86_32")]
    public void Random_programs_see_what_they_wrote(string architecture)
    {
        long[] happened = new long[3];
        Prop.ForAll(RandomProgram.Of(ProgramStep.Huge), program =>
        {
            using Machine machine = HugePageTests.Boot(architecture);
            ProgramRun.Run(machine, ProgramShape.Huge, program.Steps);
            happened[0] += machine.Events[VmEvent.ThpFaultAlloc];
            happened[1] += machine.Events[VmEvent.ThpSplitPmd];
            happened[2] += machine.Events[VmEvent.ThpSplitPage];
        }).Check(RandomProgram.Trials(programs: 8, steps: 500));
        happened.Should().OnlyContain(events => events > (architecture == "x86_32" ? 3 : 10), "huge pages were mapped and split");
    }
}
