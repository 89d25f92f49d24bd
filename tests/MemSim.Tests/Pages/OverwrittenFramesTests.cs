using FluentAssertions;
using MemSim.Damage;
using MemSim.Pages;
using Xunit;

namespace MemSim.Tests.Pages;

/// <summary>Flags, words and counts of pages that callers change under their owners' feet, and slabs that are written over: the host must not mind.</summary>
public sealed class OverwrittenFramesTests : MachineTests
{
    [Theory]
    [InlineData(Architecture.X86_64)]
    [InlineData(Architecture.X86_32)]
    [InlineData(Architecture.X86_32Pae)]
    [InlineData(Architecture.Arm64)]
    public void Whatever_is_written_to_frames_and_slabs_only_the_kernel_answers(Architecture architecture)
    {
        DamageTally tally = new();
        for (ulong seed = 1; seed <= 16; seed += 3)
        {
            OverwrittenMetadata.Run(architecture, seed, 60, tally).Should().BeNull($"seed {seed}");
        }

        tally.Reported.Should().BeGreaterThan(50);
    }

    [Fact]
    public void Flags_that_say_on_which_list_a_page_is_cannot_be_changed_while_it_is_there()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M"));
        Page page = PageOfAProcess(machine, out _);
        machine.Lru.DrainAll();
        page.Flags.Should().HaveFlag(PageFlags.Lru);
        foreach (PageFlags flag in (PageFlags[])[PageFlags.Lru, PageFlags.Active, PageFlags.Unevictable, PageFlags.SwapBacked])
        {
            page.Invoking(p => p.SetFlags(flag)).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.StillInUse);
            page.Invoking(p => p.ClearFlags(flag)).Should().Throw<KernelBugException>();
        }

        page.SetFlags(PageFlags.Referenced);
        machine.Verify();
    }

    [Fact]
    public void A_page_that_is_said_to_be_on_an_LRU_list_is_not_unlinked_from_whatever_lies_beside_it()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M"));
        Page page = PageOfAProcess(machine, out Process process);
        machine.Lru.DrainAll();
        Page plain = machine.Cpus[0].AllocPage(Gfp.HighUserMovable);
        plain.SetFlags(PageFlags.Lru | PageFlags.SwapBacked);
        ref PageFrame frame = ref machine.Frames.Array[(int)plain.Pfn.Value];
        LruVecOf(machine).Invoking(v => v.Remove(ref machine.Frames.Array[(int)plain.Pfn.Value], (int)plain.Pfn.Value, plain.Zone)).Should().Throw<KernelBugException>().WithMessage("list_del corruption*");
        frame.Clear(PageFlags.Lru | PageFlags.SwapBacked);
        machine.Cpus[0].FreePage(plain);
        process.Exit();
        page.RefCount.Should().Be(0);
        machine.Verify();
    }

    private static MemSim.Lru.LruVec LruVecOf(Machine machine) => machine.Lru.Of(machine.Nodes[0]);

    private static Page PageOfAProcess(Machine machine, out Process process)
    {
        process = machine.CreateProcess("owner");
        VirtualAddress at = process.Mm.Mmap(4096, Prot.Read | Prot.Write).Value;
        using (machine.Cpus[0].Run(process))
        {
            machine.Cpus[0].Write(at, 1);
        }

        return machine.GetPage(new Pfn((long)(process.PageMap(at, 1)[0] & ((1UL << 55) - 1))));
    }
}
