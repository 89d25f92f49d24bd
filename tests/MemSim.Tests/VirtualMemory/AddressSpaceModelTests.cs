using FsCheck;
using FsCheck.Fluent;
using MemSim.Tests.Processes.Programs;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

/// <summary>Random programs of mmap, touch, fork, munmap, mprotect, mremap, madvise and exit see what they wrote, and leave nothing behind.</summary>
public class AddressSpaceModelTests
{
    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Random_programs_see_what_they_wrote(string architecture) =>
        Prop.ForAll(RandomProgram.Of(ProgramStep.Small), program =>
        {
            using Machine machine = ForkTests.Boot(architecture);
            ProgramRun.Run(machine, ProgramShape.Small, program.Steps);
        }).Check(RandomProgram.Trials(programs: 12, steps: 500));
}
