using FluentAssertions;
using MemSim.Observability;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Import;

public class MmListsFilesTests
{
    [Theory]
    [InlineData("i386-2G-smp2-sort", Architecture.X86_32, 10, 0xc0000000UL)]
    [InlineData("amd64-2G-movablecore512M-mixed", Architecture.X86_64, 9, 0xffff888000000000UL)]
    public void Lists_hold_the_blocks_that_buddyinfo_counted(string name, Architecture architecture, int pageblockOrder, ulong pageOffset)
    {
        MmListsFile file = MmListsReader.ReadFile(ImportData.PathOf(name + ".mmlists.gz"));
        AllocatorState state = file.State;
        state.Architecture.Should().Be(architecture);
        state.PageblockOrder.Should().Be(pageblockOrder);
        state.CpuCount.Should().Be(2);
        file.Layout["page_offset"].Should().Be(pageOffset);

        IReadOnlyList<BuddyInfoRow> rows = BuddyInfoFile.Parse(ImportData.PathOf(name + ".buddyinfo"));
        rows.Should().HaveCount(state.Zones.Count);
        foreach (BuddyInfoRow row in rows)
        {
            ZoneState zone = state.Zones.Single(z => z.Node == row.Node && z.Type.KernelName() == row.Zone);
            zone.FreeLists.Select(lists => lists.Sum(list => (long)list.Length)).Should().Equal(row.FreeBlocks, row.Zone);
            zone.FreePages.Should().Be(row.FreeBlocks.Select((blocks, order) => blocks << order).Sum());
        }
    }

    [Theory]
    [InlineData("i386-2G-smp2-sort")]
    [InlineData("amd64-2G-movablecore512M-mixed")]
    public void Several_cpus_and_zones_survive_writing_as_a_state(string name)
    {
        AllocatorState state = MmListsReader.Read(ImportData.PathOf(name + ".mmlists.gz"));
        using MemoryStream written = new();
        ExactStateWriter.Write(state, written);
        ExactStateReader.Parse(written.ToArray(), "written").Should().BeEquivalentTo(state, options => options.WithStrictOrdering());
    }
}
