using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace MemSim.Tests.Hardware.Mmu;

/// <summary>Random mappings against a dictionary from page to frame and protection.</summary>
public sealed class MmuModelTests
{
    private const int WindowPages = 3000;

    public static TheoryData<Architecture, bool> Architectures => MmuMachines.All;

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Page_tables_and_tlb_agree_with_a_naive_model(Architecture architecture, bool fiveLevels)
    {
        Arbitrary<int[]> seeds = ArbMap.Default.ArbFor<int[]>();
        Prop.ForAll(seeds, operations => Run(architecture, fiveLevels, operations)).Check(Config.QuickThrowOnFailure.WithMaxTest(30).WithEndSize(60).WithReplay(12345UL, 8765UL | 1));
    }

    private static bool Run(Architecture architecture, bool fiveLevels, int[] operations)
    {
        using Machine machine = MmuMachines.Boot(architecture, fiveLevels, cpus: 2, options: MmuOptions.Default with { CheckStaleEntries = operations.Length % 2 == 0 });
        Cpu[] cpus = [.. machine.Cpus];
        PageTables tables = machine.Mmu.CreateTables(cpus[0])!;
        foreach (Cpu cpu in cpus)
        {
            cpu.Mmu.LoadPageTables(tables);
        }

        Dictionary<long, (long Pfn, PageProtection Protection)> model = [];
        ulong start = 0x0fc0_0000;
        foreach (int operation in operations)
        {
            Random random = new(operation);
            Cpu cpu = cpus[random.Next(2)];
            long first = random.Next(WindowPages);
            long pages = random.Next(3) == 0 ? random.Next(1, WindowPages) : random.Next(1, 40);
            pages = Math.Min(pages, WindowPages - first);
            VirtualAddress at = new(start + ((ulong)first << 12));
            PageProtection protection = PageProtection.User | (random.Next(2) == 0 ? PageProtection.Write : 0) | (random.Next(2) == 0 ? PageProtection.Execute : 0);
            bool anyMapped = Enumerable.Range(0, (int)pages).Any(i => model.ContainsKey(first + i));
            bool allMapped = Enumerable.Range(0, (int)pages).All(i => model.ContainsKey(first + i));
            switch (random.Next(4))
            {
                case 0:
                case 1:
                    // Same remainder as the address, so that huge pages fit.
                    long pfn = (architecture == Architecture.Arm64 ? 0x4_1000 : 0x1000) + (((long)(at.Value >> 12) - 0x1000) & 0x3ff) + (1024 * random.Next(3));
                    Action map = () => tables.Map(cpu, at, new Pfn(pfn), pages, protection, random.Next(2) == 0 ? MappingSize.Page4M : MappingSize.Page4K).Should().BeTrue();
                    if (anyMapped)
                    {
                        map.Should().Throw<KernelBugException>();
                        break;
                    }

                    map();
                    for (int i = 0; i < pages; i++)
                    {
                        model[first + i] = (pfn + i, protection);
                    }

                    break;
                case 2:
                    if (!allMapped)
                    {
                        tables.Invoking(t => t.Unmap(cpu, at, pages)).Should().Throw<KernelBugException>();
                    }

                    tables.Unmap(cpu, at, pages, mayHaveHoles: !allMapped).Should().BeTrue();
                    machine.Mmu.FlushRange(cpu, tables, at, (long)pages << 12);
                    for (int i = 0; i < pages; i++)
                    {
                        model.Remove(first + i);
                    }

                    break;
                default:
                    tables.Protect(cpu, at, pages, protection, mayHaveHoles: true).Should().BeTrue();
                    machine.Mmu.FlushRange(cpu, tables, at, (long)pages << 12);
                    for (int i = 0; i < pages; i++)
                    {
                        if (model.TryGetValue(first + i, out (long Pfn, PageProtection Protection) old))
                        {
                            model[first + i] = (old.Pfn, protection);
                        }
                    }

                    break;
            }

            Compare(cpus, model, start, random);
        }

        machine.Mmu.StaleEntriesUsed.Should().BeEmpty();
        machine.Verify();
        foreach (Cpu cpu in cpus)
        {
            cpu.Mmu.LoadPageTables(machine.Mmu.Kernel);
        }

        tables.Destroy(cpus[0]);
        machine.Verify();
        return true;
    }

    private static void Compare(Cpu[] cpus, Dictionary<long, (long Pfn, PageProtection Protection)> model, ulong start, Random random)
    {
        bool hasNoExecute = cpus[0].Machine.Architecture.Architecture != Architecture.X86_32;
        for (int i = 0; i < 40; i++)
        {
            Cpu cpu = cpus[random.Next(2)];
            using MmuScope mode = cpu.User.UserMode();
            long page = model.Count > 0 && random.Next(2) == 0 ? model.Keys.ElementAt(random.Next(model.Count)) : random.Next(WindowPages);
            ulong offset = (ulong)random.Next(4096);
            MemoryAccess access = (MemoryAccess)random.Next(3);
            VirtualAddress address = new(start + ((ulong)page << 12) + offset);
            PageFaultReason? expected = !model.TryGetValue(page, out (long Pfn, PageProtection Protection) entry) ? PageFaultReason.NotPresent
                : access == MemoryAccess.Write && (entry.Protection & PageProtection.Write) == 0 ? PageFaultReason.Protection
                : access == MemoryAccess.Execute && hasNoExecute && (entry.Protection & PageProtection.Execute) == 0 ? PageFaultReason.Protection
                : null;
            TranslationExplanation explanation = cpu.Mmu.Explain(address, access);
            explanation.Fault?.Reason.Should().Be(expected);
            bool found = cpu.Mmu.TryTranslate(address, access, out PhysicalAddress physical, out PageFault fault);
            found.Should().Be(expected is null);
            if (found)
            {
                physical.Value.Should().Be(((ulong)entry.Pfn << 12) + offset);
                explanation.Physical.Should().Be(physical);
            }
            else
            {
                fault.Reason.Should().Be(expected);
            }
        }
    }
}
